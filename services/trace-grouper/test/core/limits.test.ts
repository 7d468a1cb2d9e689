import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { byteLength, cutJson, cutText, jsonBytes, newest } from '../../src/core/limits.ts';

const text = fc.string({ unit: 'binary', maxLength: 400 });

describe('cutText', () => {
  test('says how much is missing', () => {
    expect(cutText('a'.repeat(100), 60)).toBe(`${'a'.repeat(39)}… [+61 characters]`);
  });

  test('leaves a text alone that fits', () => {
    expect(cutText('größer', 8)).toBe('größer');
  });

  test('counts what somebody else has cut before', () => {
    expect(cutText(`${'a'.repeat(100)}… [+900 characters]`, 60)).toBe(`${'a'.repeat(38)}… [+962 characters]`);
  });

  test('never cuts through a character', () => {
    expect(cutText('🎈'.repeat(20), 30)).toBe('🎈🎈… [+36 characters]');
  });

  test('is well formed and within its limit, whatever the text', () => {
    holds(
      fc.property(text, fc.integer({ min: 0, max: 300 }), (any, maxBytes) => {
        const cut = cutText(any, maxBytes);

        expect(byteLength(cut)).toBeLessThanOrEqual(maxBytes);
        expect(cut.isWellFormed()).toBe(true);
      }),
    );
  });
});

describe('cutJson', () => {
  test('cuts texts inside, and keeps the form', () => {
    const cut = cutJson({ command: 'x'.repeat(50_000), n: 1 }, 20_000);

    expect(cut).toEqual({ command: `${'x'.repeat(16_425)}… [+33575 characters]`, n: 1 });
  });

  test('says how much there was where no cut helps', () => {
    expect(cutJson(new Array(1_000).fill(1), 100)).toBe('[more than 100 bytes of JSON]');
  });

  test('ends at a depth that nobody reads', () => {
    const deep = JSON.parse(`${'['.repeat(5_000)}${']'.repeat(5_000)}`);

    expect(JSON.stringify(cutJson(deep, 1_000))).toBe(`${'['.repeat(32)}"[deep]"${']'.repeat(32)}`);
  });

  test('is within its limit, whatever the value', () => {
    holds(
      fc.property(fc.jsonValue(), fc.integer({ min: 40, max: 500 }), (value, maxBytes) => {
        expect(jsonBytes(cutJson(value, maxBytes))).toBeLessThanOrEqual(maxBytes);
      }),
    );
  });
});

describe('newest', () => {
  test('keeps the end of a list', () => {
    expect(newest([{ n: 1 }, { n: 2 }, { n: 3 }], 17)).toEqual([{ n: 2 }, { n: 3 }]);
  });

  test('keeps nothing where the last one is too large', () => {
    expect(newest([{ n: 1 }], 8)).toEqual([]);
  });
});
