import { describe, expect, test } from '@jest/globals';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { rateLimitsOf, remainingOf, utilizationOf } from '../../src/core/rate-limits.ts';

describe('rateLimitsOf', () => {
  test('takes of any headers at most 40 short limits, as they came, and reads a number or none', () => {
    const name = fc.oneof(
      fc.constantFrom('anthropic-ratelimit-unified-5h-utilization', 'anthropic-ratelimit-', 'request-id', '__proto__'),
      fc.nat().map((number) => `anthropic-ratelimit-${number}`),
    );
    const value = fc.oneof(
      fc.constantFrom(undefined, '', ' ', '0.31', '1e999', 'NaN', '-1', '0x1f', 'x'.repeat(201), ['0.1', '0.2']),
      fc.string({ maxLength: 250 }),
    );
    const met = new Set<string>();

    holds(
      fc.property(fc.dictionary(name, value, { maxKeys: 80, size: 'max' }), (headers) => {
        const limits = rateLimitsOf(headers) ?? {};
        const utilization = utilizationOf(limits, '5h');

        met.add(`${typeof utilization}, ${Object.keys(limits).length < 40 ? 'few' : 'many'}`);
        expect(Object.keys(limits).length).toBeLessThanOrEqual(40);
        for (const [limit, said] of Object.entries(limits))
          expect([headers[limit], said.length <= 200]).toEqual([said, true]);
        if (utilization !== undefined) expect(Number.isFinite(utilization)).toBe(true);
      }),
      300,
    );

    reaches(met, ['number, few', 'undefined, few', 'undefined, many']);
  });

  test('takes the headers of limits alone, as they came, and none that is long', () => {
    const limits = {
      'anthropic-ratelimit-unified-5h-utilization': '0.31',
      'anthropic-ratelimit-tokens-remaining': '7',
    };
    const others = { 'request-id': 'req_1', 'anthropic-ratelimit-long': 'x'.repeat(201) };

    expect(rateLimitsOf({ ...limits, ...others })).toEqual(limits);
    expect(rateLimitsOf(others)).toBeUndefined();
  });
});

describe('utilizationOf', () => {
  test.each([
    ['0.31', 0.31],
    ['', undefined],
    ['much', undefined],
    [undefined, undefined],
  ])('reads %j as %j', (said, utilization) => {
    const limits = said === undefined ? {} : { 'anthropic-ratelimit-unified-7d-utilization': said };

    expect(utilizationOf(limits, '7d')).toBe(utilization);
  });
});

describe('remainingOf', () => {
  test('says what is left of each limit of a key that is known, and a number', () => {
    const limits = {
      'anthropic-ratelimit-requests-remaining': '49',
      'anthropic-ratelimit-input-tokens-remaining': '0',
      'anthropic-ratelimit-output-tokens-remaining': 'none',
      'anthropic-ratelimit-invented-remaining': '3',
    };

    expect(remainingOf(limits)).toEqual([
      ['requests', 49],
      ['input-tokens', 0],
    ]);
  });
});
