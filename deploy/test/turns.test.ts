import { describe, expect, test } from '@jest/globals';
import type { LoomEvent } from '@loom/shared/event.ts';
import { foldTurns, NO_TURNS, type Turn } from '../up/turns.ts';
import { completed, failed, forwarded, inNextTrace } from './exchange.ts';

function endedBy(...events: LoomEvent[]): Turn[] {
  let turns = NO_TURNS;
  return events.flatMap((event) => {
    const next = foldTurns(turns, event);
    turns = next.turns;
    return next.ended;
  });
}

const callsAndEnd = ({ calls, end }: Turn) => ({ calls: calls.map(({ requestId }) => requestId), end });
const withTool = { stopReason: 'tool_use', toolUses: [{ id: 't1', name: 'Bash' }] };

describe('foldTurns', () => {
  test('ends a turn with the answer that asks for no tool', () => {
    const ended = endedBy(forwarded('r1'), completed('r1', withTool), forwarded('r2'), completed('r2'));

    expect(ended.map(callsAndEnd)).toEqual([{ calls: ['r1', 'r2'], end: 'end_turn' }]);
  });

  test('keeps a turn whole: its session, profile, model, edits and answers', () => {
    const edit = { rewriter: 'intro-injector', outcome: 'applied', operations: 1, waitedMs: 3 } as const;
    const answer = completed('r1');

    expect(endedBy(forwarded('r1', { edits: [edit] }), answer)).toEqual([
      {
        traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
        session: '3f2a91c0-5b1e-4e0c-9f1a-2d6b8c7e4f10',
        profile: 'alpha',
        model: 'claude-opus-4-6',
        calls: [{ requestId: 'r1', edits: [edit], response: { data: answer.data, time: answer.time } }],
        end: 'end_turn',
      },
    ]);
  });

  test('goes on after a pause that the model asked for', () => {
    expect(endedBy(completed('r1', { stopReason: 'pause_turn' }))).toEqual([]);
  });

  test('ends a turn with a failure, and names it', () => {
    expect(endedBy(failed('r1', { errorType: 'overloaded_error' })).map(callsAndEnd)).toEqual([
      { calls: ['r1'], end: 'overloaded_error' },
    ]);
    expect(endedBy(failed('r1')).map(callsAndEnd)).toEqual([{ calls: ['r1'], end: 'client_closed' }]);
  });

  test('leaves a turn open that another turn of its session follows', () => {
    const ended = endedBy(completed('r1', withTool), inNextTrace(completed('r2')));

    expect(ended.map(callsAndEnd)).toEqual([
      { calls: ['r1'], end: 'left open' },
      { calls: ['r2'], end: 'end_turn' },
    ]);
  });

  test('keeps the turns of two sessions apart', () => {
    const other = { ...inNextTrace(completed('r2')), subject: 'another-session' };

    const ended = endedBy(completed('r1', withTool), other, completed('r3'));

    expect(ended.map(callsAndEnd)).toEqual([
      { calls: ['r2'], end: 'end_turn' },
      { calls: ['r1', 'r3'], end: 'end_turn' },
    ]);
  });

  test('counts an event that comes twice once, also after its turn has ended', () => {
    const ended = endedBy(completed('r1', withTool), completed('r1', withTool), completed('r2'), completed('r2'));

    expect(ended.map(callsAndEnd)).toEqual([{ calls: ['r1', 'r2'], end: 'end_turn' }]);
  });

  test('ignores what the client does beside the turn', () => {
    expect(endedBy(completed('r1', { class: 'auxiliary' }), completed('r2', { class: 'subagent' }))).toEqual([]);
  });

  test('changes nothing that it was given', () => {
    const { turns } = foldTurns(NO_TURNS, completed('r1', withTool));

    foldTurns(turns, completed('r2'));

    expect(NO_TURNS).toEqual({ open: new Map(), settled: [] });
    expect([...turns.open.values()].map(callsAndEnd)).toEqual([{ calls: ['r1'], end: 'open' }]);
  });

  test('bounds the turns that nobody ends, and says which it let go', () => {
    const sessions = Array.from({ length: 501 }, (_, at) => ({
      ...completed(`r${at}`, withTool),
      subject: `session-${at}`,
    }));

    const ended = endedBy(...sessions);

    expect(ended.map(({ session, end }) => ({ session, end }))).toEqual([{ session: 'session-0', end: 'left open' }]);
  });
});
