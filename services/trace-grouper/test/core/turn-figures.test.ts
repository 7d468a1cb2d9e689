import { describe, expect, test } from '@jest/globals';
import { chargesOf, chartedTool } from '../../src/core/turn-figures.ts';
import { call, OPTIONS } from '../sample-turn.ts';

describe('chargesOf', () => {
  test('charges each call whose price is known, by the model that answered', () => {
    const calls = [
      call(),
      call({ class: 'auxiliary', responseModel: 'claude-haiku-4-5-20251001' }),
      call({ model: 'claude-unknown' }),
      call({ usage: null }),
    ];

    expect(chargesOf(calls, OPTIONS.prices)).toEqual([
      { model: 'claude-opus-5', class: 'main', usd: 0.00305 },
      { model: 'claude-haiku-4-5', class: 'auxiliary', usd: 0.00061 },
    ]);
  });
});

describe('chartedTool', () => {
  test.each([
    ['Bash', 'Bash'],
    ['mcp__garden__water', 'mcp'],
    ['whatever a client calls it', 'other'],
  ])('charts %s as %s', (name, charted) => {
    expect(chartedTool({ name })).toBe(charted);
  });
});
