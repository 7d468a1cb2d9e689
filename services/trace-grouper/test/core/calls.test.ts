import { describe, expect, test } from '@jest/globals';
import { callsOf } from '../../src/core/calls.ts';
import { exchange, recordsOf } from '../story.ts';

describe('the retries of a turn', () => {
  const failure = { endReason: 'upstream_error', errorType: 'overloaded_error' } as const;
  const retries = (...exchanges: ReturnType<typeof exchange>[]) =>
    callsOf(recordsOf(...exchanges)).map(({ call }) => [call.requestId, call.retryOf]);

  test('are the calls that repeat the bytes of one that failed', () => {
    expect(
      retries(
        exchange('r1', { body: 'c', failure }),
        exchange('r2', { at: 2_000, body: 'c', failure }),
        exchange('r3', { at: 4_000, body: 'c' }),
        exchange('r4', { at: 6_000, body: 'c' }),
      ),
    ).toEqual([
      ['r1', undefined],
      ['r2', 'r1'],
      ['r3', 'r2'],
      ['r4', undefined],
    ]);
  });

  test('are also those that repeat one of which nobody saw the end', () => {
    expect(
      retries(exchange('r1', { body: 'c', isOpen: true }), exchange('r2', { at: 2_000, body: 'c' })).map(
        ([, retryOf]) => retryOf,
      ),
    ).toEqual([undefined, 'r1']);
  });

  test('are none where other bytes were sent, or another conversation sent them', () => {
    expect(
      retries(
        exchange('r1', { body: 'c', failure }),
        exchange('r2', { at: 2_000, body: 'd' }),
        exchange('r3', { at: 3_000, body: 'c', class: 'subagent', agentId: 'a1' }),
        exchange('r4', { at: 4_000 }),
      ).map(([, retryOf]) => retryOf),
    ).toEqual([undefined, undefined, undefined, undefined]);
  });
});
