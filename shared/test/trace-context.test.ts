import { describe, expect, test } from '@jest/globals';
import { damaged, damages } from '@loom/shared/testing/damage.ts';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import { findTraceParent, formatTraceParent } from '@loom/shared/trace-context.ts';
import fc from 'fast-check';

const valid = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describe('findTraceParent', () => {
  test('reads the ids and the flags, and formatTraceParent writes them back', () => {
    const parent = findTraceParent(valid);

    expect(parent).toEqual({
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      spanId: '00f067aa0ba902b7',
      flags: 1,
    });
    expect(formatTraceParent(parent as NonNullable<typeof parent>)).toBe(valid);
  });

  test('accepts a later version with a tail', () => {
    expect(findTraceParent(`01${valid.slice(2)}-extra`)).toMatchObject({
      spanId: '00f067aa0ba902b7',
    });
  });

  test.each([
    ['nothing', undefined],
    ['a word', 'garbage'],
    ['upper case', valid.toUpperCase()],
    ['a trace id of zeroes', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
    ['a span id of zeroes', `00-4bf92f3577b34da6a3ce929d0e0e4736-${'0'.repeat(16)}-01`],
    ['version ff', `ff${valid.slice(2)}`],
    ['a tail in version 00', `${valid}-extra`],
    ['a list', [valid]],
  ])('finds nothing in %s', (_, value) => {
    expect(findTraceParent(value)).toBeUndefined();
  });

  test('finds in any text a parent that can be written, or nothing', () => {
    const digits = (length: number) =>
      fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });
    const texts = fc.oneof(
      fc.tuple(digits(2), digits(32), digits(16), digits(2)).map((parts) => parts.join('-')),
      fc
        .tuple(fc.constantFrom(valid, `01${valid.slice(2)}`), damages)
        .map(([text, harm]) => damaged(Buffer.from(text), harm).toString()),
      fc.tuple(fc.constant(`01${valid.slice(2)}`), fc.string()).map((parts) => parts.join('-')),
    );
    const met = new Set<boolean>();

    holds(
      fc.property(texts, (text) => {
        const found = findTraceParent(text);
        met.add(found !== undefined);
        if (!found) return;
        expect(text.slice(3)).toBe(formatTraceParent(found).slice(3) + text.slice(55));
        expect(findTraceParent(formatTraceParent(found))).toEqual(found);
      }),
      500,
    );

    reaches(met, [true, false]);
  });
});
