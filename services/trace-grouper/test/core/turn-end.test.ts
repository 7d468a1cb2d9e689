import { describe, expect, test } from '@jest/globals';
import { foldTurn } from '../../src/core/fold.ts';
import type { TurnRecord } from '../../src/core/record.ts';
import type { Turn } from '../../src/core/turn.ts';
import { endTurn, judge, judgeLoose } from '../../src/core/turn-end.ts';
import { BEGIN, exchange, recordsOf, SESSION } from '../story.ts';

const limits = { graceMs: 2_000, retryMs: 60_000, idleMs: 600_000, toolIdleMs: 3_600_000 };
/** The gateway of all stories is there. */
const isPresent = (gateway: string): boolean => gateway === 'g1';
const isGone = () => false;
type Events = ReturnType<typeof exchange>;

function turnOf(...exchanges: Events[]): Turn {
  return foldTurn(recordsOf(...exchanges)) as Turn;
}

function stoppedAt(at: number, ...exchanges: Events[]): Turn {
  const stopped: TurnRecord = { kind: 'interrupted', session: SESSION, time: BEGIN + at, data: { id: 'l1' } };
  return foldTurn([...recordsOf(...exchanges), stopped]) as Turn;
}

const asks = exchange('r1', { stopReason: 'tool_use', toolUses: [{ id: 't1', name: 'Bash' }] });
const answers = exchange('r2', { at: 5_000 });
const overloaded = exchange('r2', {
  at: 5_000,
  failure: { endReason: 'upstream_error', errorType: 'overloaded_error' },
});
const left = exchange('r2', { at: 5_000, failure: { endReason: 'client_closed' } });
const agent = { class: 'subagent', agentId: 'a1' } as const;
const title = exchange('r8', { at: 5_500, class: 'auxiliary', isOpen: true });

const still = (turn: Turn, quietMs: number, isSuperseded = false) =>
  judge(turn, { quietMs, isSuperseded, isPresent, isPartial: false }, limits);

describe('judge', () => {
  test.each<[string, Turn, number, ReturnType<typeof judge>]>([
    ['a final answer, in the grace', turnOf(asks, answers), 500, { openMs: 1_500 }],
    ['a final answer, after the grace', turnOf(asks, answers), 2_000, { ended: 'end_turn' }],
    ['a tool asked for', turnOf(asks), 5_000, { openMs: 3_595_000 }],
    ['a tool that waits for a permission', turnOf(asks), 600_000, { openMs: 3_000_000 }],
    ['a tool asked for, long ago', turnOf(asks), 3_600_000, { ended: 'abandoned' }],
    ['a pause', turnOf(exchange('r1', { stopReason: 'pause_turn' })), 5_000, { openMs: 595_000 }],
    ['a pause, long ago', turnOf(exchange('r1', { stopReason: 'pause_turn' })), 600_000, { ended: 'abandoned' }],
    ['a call that is open', turnOf(answers, exchange('r3', { at: 9_000, isOpen: true })), 5_000, { openMs: 595_000 }],
    ['a call that streams for long', turnOf(exchange('r3', { isOpen: true })), 600_000, { openMs: 10_000 }],
    ['a call that never ended', turnOf(exchange('r3', { isOpen: true })), 43_200_000, { ended: 'abandoned' }],
    ['max_tokens', turnOf(exchange('r1', { stopReason: 'max_tokens' })), 2_000, { ended: 'max_tokens' }],
    ['a refusal', turnOf(exchange('r1', { stopReason: 'refusal' })), 2_000, { ended: 'refusal' }],
    ['an answer without a stop reason', turnOf(exchange('r1', { stopReason: null })), 2_000, { ended: 'unknown' }],
    ['a failure', turnOf(asks, overloaded), 2_000, { openMs: 58_000 }],
    ['a failure that nobody retried', turnOf(asks, overloaded), 60_000, { ended: 'error' }],
    ['a failure that was retried', turnOf(overloaded, exchange('r3', { at: 9_000 })), 2_000, { ended: 'end_turn' }],
    ['a client that left, and may come back', turnOf(asks, left), 2_000, { openMs: 8_000 }],
    ['a client that left, and did not come back', turnOf(asks, left), 10_000, { ended: 'interrupted' }],
    [
      'a Stop hook that let it go on',
      turnOf(answers, exchange('r3', { at: 8_000, stopReason: 'tool_use' })),
      2_000,
      { openMs: 3_598_000 },
    ],
    ['an auxiliary call that is open', turnOf(answers, title), 2_000, { ended: 'end_turn' }],
    [
      'a compaction in the middle',
      turnOf(asks, exchange('r3', { at: 3_000, class: 'compaction' })),
      2_000,
      { openMs: 598_000 },
    ],
    [
      'a compaction that is open',
      turnOf(answers, exchange('r3', { at: 9_000, class: 'compaction', isOpen: true })),
      2_000,
      { openMs: 10_000 },
    ],
    [
      'a compaction and nothing after it',
      turnOf(exchange('r3', { class: 'compaction' })),
      600_000,
      { ended: 'abandoned' },
    ],
    [
      'a subagent that is open',
      turnOf(answers, exchange('a1-1', { ...agent, at: 4_000, isOpen: true })),
      2_000,
      { openMs: 10_000 },
    ],
    [
      'a subagent at work',
      turnOf(answers, exchange('a1-1', { ...agent, stopReason: 'tool_use' })),
      2_000,
      { openMs: 3_598_000 },
    ],
    [
      'a subagent at work, silent for long',
      turnOf(answers, exchange('a1-1', { ...agent, stopReason: 'tool_use' })),
      3_600_000,
      { ended: 'end_turn' },
    ],
    [
      'a subagent that has finished',
      turnOf(answers, exchange('a1-1', { ...agent, at: 7_000 })),
      2_000,
      { ended: 'end_turn' },
    ],
    [
      'a subagent at work whose client left',
      turnOf(exchange('a1-1', { ...agent, stopReason: 'tool_use' }), left),
      10_000,
      { ended: 'interrupted' },
    ],
    ['subagents alone', turnOf(exchange('a1-1', agent)), 2_000, { openMs: 598_000 }],
  ])('after %s', (_, turn, quietMs, verdict) => {
    expect(still(turn, quietMs)).toEqual(verdict);
  });

  test.each<[string, Turn, ReturnType<typeof judge>]>([
    ['a tool asked for', turnOf(asks), { ended: 'interrupted' }],
    ['a final answer', turnOf(answers), { ended: 'end_turn' }],
    ['a failure', turnOf(overloaded), { ended: 'error' }],
    [
      'a tool asked for, with a subagent at work',
      turnOf(asks, exchange('a1-1', { ...agent, stopReason: 'tool_use' })),
      { ended: 'interrupted' },
    ],
    [
      'nothing: a subagent is still at work in the background',
      turnOf(answers, exchange('a1-1', { ...agent, stopReason: 'tool_use' })),
      { openMs: 3_600_000 },
    ],
    ['a call that is open', turnOf(exchange('r3', { isOpen: true })), { openMs: 10_000 }],
  ])('ends, without waiting, with the session’s next turn after %s', (_, turn, verdict) => {
    expect(still(turn, 0, true)).toEqual(verdict);
  });

  test.each<[string, Turn, ReturnType<typeof judge>]>([
    ['a tool', stoppedAt(3_000, asks), { ended: 'interrupted' }],
    ['the wait for a retry', stoppedAt(9_000, asks, overloaded), { ended: 'interrupted' }],
    ['nothing: the answer was complete', stoppedAt(9_000, asks, answers), { ended: 'end_turn' }],
    [
      'nothing: it went on',
      stoppedAt(3_000, asks, exchange('r3', { at: 4_000, stopReason: 'tool_use' })),
      { openMs: 3_598_000 },
    ],
    ['a call that has not ended yet', stoppedAt(3_000, exchange('r3', { isOpen: true })), { openMs: 598_000 }],
  ])('ends what the user stopped: %s', (_, turn, verdict) => {
    expect(still(turn, 2_000)).toEqual(verdict);
  });

  test.each<[string, Turn, number, boolean, ReturnType<typeof judge>]>([
    ['and its client did not repeat', turnOf(exchange('r3', { isOpen: true })), 5_000, false, { openMs: 595_000 }],
    ['and nobody went on', turnOf(exchange('r3', { isOpen: true })), 600_000, false, { ended: 'abandoned' }],
    ['and the user went on', turnOf(exchange('r3', { isOpen: true })), 0, true, { ended: 'interrupted' }],
    ['and its client repeated', turnOf(exchange('r1', { isOpen: true }), answers), 2_000, false, { ended: 'end_turn' }],
  ])('waits for no call whose gateway died %s', (_, turn, quietMs, isSuperseded, verdict) => {
    expect(judge(turn, { quietMs, isSuperseded, isPresent: isGone, isPartial: false }, limits)).toEqual(verdict);
  });

  test('waits for what a gateway has told and a killed replica has not handed over, but not for ever', () => {
    const at = (quietMs: number) => {
      const standing = { quietMs, isSuperseded: true, isPresent, isPartial: true };
      return [judge(turnOf(asks, answers), standing, limits), judgeLoose(turnOf(answers), standing, limits)];
    };

    expect(at(14_999)).toEqual([{ openMs: 1_000 }, { openMs: 1_000 }]);
    expect(at(15_000)).toEqual([{ ended: 'end_turn' }, { ended: 'complete' }]);
  });

  test('never waits longer than silence lasts', () => {
    const impatient = { graceMs: 2_000, retryMs: 60_000, idleMs: 10_000, toolIdleMs: 10_000 };
    const standing = { quietMs: 4_000, isSuperseded: false, isPresent, isPartial: false };

    expect(judge(turnOf(overloaded), standing, impatient)).toEqual({ openMs: 6_000 });
  });
});

describe('endTurn', () => {
  test('says what failed', () => {
    const timedOut = exchange('r1', { failure: { endReason: 'timeout', status: null } });

    expect(endTurn(turnOf(overloaded), 'error').errorType).toBe('overloaded_error');
    expect(endTurn(turnOf(timedOut), 'error').errorType).toBe('timeout');
    expect(endTurn(turnOf(answers), 'end_turn')).toEqual({ ...turnOf(answers), endReason: 'end_turn' });
  });

  test('leaves out auxiliary calls that are still open, and no others', () => {
    const open = exchange('r3', { at: 5_100, isOpen: true });

    expect(endTurn(turnOf(answers, open, title), 'abandoned').calls.map(({ requestId }) => requestId)).toEqual([
      'r2',
      'r3',
    ]);
  });
});

describe('judgeLoose', () => {
  test('ends an exchange by itself when its parts have come', () => {
    const open = turnOf(title);
    const closed = turnOf(exchange('r8', { class: 'auxiliary' }));

    const at = (turn: Turn, quietMs: number, present = isPresent) =>
      judgeLoose(turn, { quietMs, isPresent: present, isPartial: false }, limits);
    expect([at(closed, 500), at(closed, 2_000)]).toEqual([{ openMs: 1_500 }, { ended: 'complete' }]);
    expect([at(open, 2_000), at(open, 600_000)]).toEqual([{ openMs: 598_000 }, { openMs: 10_000 }]);
    expect([at(open, 2_000, isGone), at(open, 600_000, isGone)]).toEqual([{ openMs: 598_000 }, { ended: 'complete' }]);
  });
});
