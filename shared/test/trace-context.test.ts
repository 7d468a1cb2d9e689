import { describe, expect, test } from '@jest/globals';
import { findTraceParent, formatTraceParent } from '@loom/shared/trace-context.ts';

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
});
