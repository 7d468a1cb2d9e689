import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { shortenJson } from '../../src/core/shorten-json.ts';

const MEGABYTE = 1_048_576;
const shorten = (value: unknown, maxStringBytes = 10) =>
  shortenJson(Buffer.from(JSON.stringify(value)), maxStringBytes, MEGABYTE);
const parsed = (value: unknown, maxStringBytes?: number) => JSON.parse(shorten(value, maxStringBytes)?.json ?? 'null');

describe('shortenJson', () => {
  test('copies what is short as it is', () => {
    expect(shorten({ a: ['b', 1, null], 'c"\\': 'd\n' })?.json).toBe('{"a":["b",1,null],"c\\"\\\\":"d\\n"}');
  });

  test('cuts a long string, says how much is missing, and where the whole of it is', () => {
    const copy = shorten({ a: 'Once upon a time.', b: 1 });

    expect(JSON.parse(copy?.json ?? '')).toEqual({ a: 'Once upon … [+7 characters]', b: 1 });
    expect([...(copy?.shortened ?? [])]).toEqual([['Once upon … [+7 characters]', { start: 5, end: 24 }]]);
  });

  test('never cuts through an escape or a character', () => {
    const unit = fc.constantFrom('a', '"', '\\', '\n', '\u0001', 'é', '日', '🌱');

    holds(
      fc.property(fc.string({ unit, maxLength: 40 }), fc.integer({ min: 1, max: 40 }), (text, max) => {
        const [kept = ''] = (parsed([text], max)[0] as string).split('… [+');
        expect(text.startsWith(kept)).toBe(true);
        expect(Buffer.byteLength(JSON.stringify(kept)) - 2).toBeLessThanOrEqual(max + 5);
      }),
    );
  });

  test('gives up what is too large with all its strings cut, or takes too long to look through', () => {
    const many = Array.from({ length: 300_000 }, () => 'abc');

    const numbers = Array.from({ length: 600_000 }, () => 1);

    expect([many, numbers, '"'.repeat(60_000)].map((value) => shorten(value))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
