import { describe, expect, test } from '@jest/globals';
import { totalsOf } from '../../src/core/totals.ts';
import { call, OPTIONS } from '../sample-turn.ts';

describe('totalsOf', () => {
  test('adds up every call that has usage', () => {
    const calls = [call(), call({ class: 'subagent' }), call({ usage: null })];

    expect(totalsOf(calls, OPTIONS.prices)).toEqual({
      tokens: { prompt: 2_420, completion: 100, cacheRead: 2_000, cacheWrite: 400, total: 2_520 },
      costUsd: 0.0061,
      unpriced: [],
    });
  });

  test('has no cost where one of the models has no price, and names it once', () => {
    const unknown = call({ model: 'claude-unknown' });

    const { costUsd, unpriced } = totalsOf([call(), unknown, unknown], OPTIONS.prices);

    expect({ costUsd, unpriced }).toEqual({ costUsd: null, unpriced: ['claude-unknown'] });
  });
});
