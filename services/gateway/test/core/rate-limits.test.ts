import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { rateLimitsOf, utilizationOf } from '../../src/core/rate-limits.ts';

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

    expect([...met]).toEqual(expect.arrayContaining(['number, few', 'undefined, few', 'undefined, many']));
  });
});
