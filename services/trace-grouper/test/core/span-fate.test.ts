import { describe, expect, test } from '@jest/globals';
import { fateOf, type GatewayStanding } from '../../src/core/span-fate.ts';
import { call, START } from '../sample-turn.ts';

const ended = call({ endedAt: START });
const { endedAt: _, ...open } = ended;

function said(state: 'present' | 'left', lostUntil: number, sentUntil: number): GatewayStanding {
  return { state, record: { spans: { lostUntil, sentUntil } } };
}

describe('fateOf', () => {
  test.each<[string, GatewayStanding, string]>([
    ['gone', { state: 'gone' }, 'lost'],
    ['there, and has sent what it published after the end as well', said('present', 0, START + 1_000), 'sent'],
    ['there, and has not said so yet', said('present', 0, START + 999), 'unknown'],
    ['there, and was cut off from the collector then', said('present', START, START + 5_000), 'lost'],
    ['there, and was cut off before', said('present', START - 1, START + 5_000), 'sent'],
    ['there, and exports none', { state: 'present', record: {} }, 'lost'],
    ['no longer there, and left in good order', said('left', 0, START + 1), 'sent'],
    ['no longer there, and left after it was cut off', said('left', START + 1, START + 2), 'lost'],
  ])('of the spans of a gateway that is %s', (_, standing, fate) => {
    expect(fateOf(ended, standing)).toBe(fate);
  });

  test('of the spans of a call that nobody saw end is never good', () => {
    expect(fateOf(open, said('present', 0, START + 5_000))).toBe('lost');
  });
});
