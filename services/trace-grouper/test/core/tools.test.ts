import { describe, expect, test } from '@jest/globals';
import { foldTurn } from '../../src/core/fold.ts';
import type { Turn } from '../../src/core/turn.ts';
import { BEGIN, exchange, recordsOf } from '../story.ts';

const asking = { stopReason: 'tool_use' } as const;

function fold(...exchanges: ReturnType<typeof exchange>[]): Turn {
  return foldTurn(recordsOf(...exchanges)) as Turn;
}

describe('the tools of a turn', () => {
  const bash = { id: 't1', name: 'Bash' };
  const read = { id: 't2', name: 'Read' };

  test('run from the answer that asked for them to the request with their results, a parallel batch together', () => {
    const turn = fold(
      exchange('r1', { ...asking, toolUses: [bash, read] }),
      exchange('r2', {
        at: 5_000,
        toolResults: [
          { id: 't1', isError: true },
          { id: 't2', isError: false },
        ],
      }),
    );

    const times = { askedBy: 'r1', answeredBy: 'r2', startedAt: BEGIN + 1_000, endedAt: BEGIN + 5_000 };
    expect(turn.tools).toEqual([
      { id: 't1', name: 'Bash', ...times, isError: true },
      { id: 't2', name: 'Read', ...times, isError: false },
    ]);
  });

  test('end with the first request that brings the result: a retry, or the one after a compaction, brings it again', () => {
    const toolResults = [{ id: 't1', isError: false }];
    const turn = fold(
      exchange('r1', { ...asking, toolUses: [bash] }),
      exchange('r2', { at: 3_000, class: 'compaction', toolResults }),
      exchange('r3', { at: 5_000, toolResults }),
    );

    expect(turn.tools.map(({ answeredBy, endedAt }) => [answeredBy, endedAt])).toEqual([['r2', BEGIN + 3_000]]);
  });

  test('begin as late as the client says, where it is beyond doubt which one is meant', () => {
    const begins = (toolDurations: string, toolUses = [bash, read]) =>
      fold(
        exchange('r1', { ...asking, toolUses }),
        exchange('r2', { at: 5_000, toolResults: toolUses.map(({ id }) => ({ id, isError: false })), toolDurations }),
      ).tools.map(({ startedAt }) => startedAt - BEGIN);

    expect(begins('Bash=38')).toEqual([4_962, 1_000]);
    expect(begins('Bash=38,Read=500')).toEqual([4_962, 4_500]);
    expect(begins('Bash=38', [bash, { id: 't2', name: 'Bash' }])).toEqual([1_000, 1_000]);
    expect(begins('Bash=38,Bash=40')).toEqual([1_000, 1_000]);
    expect(begins('Bash=90000')).toEqual([1_000, 1_000]);
    expect(begins('nonsense')).toEqual([1_000, 1_000]);
  });

  test('last to the end of the turn where nobody brings a result', () => {
    const turn = fold(exchange('r1', { ...asking, toolUses: [bash] }), exchange('r2', { at: 5_000 }));

    expect(turn.tools).toEqual([
      { ...bash, askedBy: 'r1', startedAt: BEGIN + 1_000, endedAt: BEGIN + 6_000, isError: false },
    ]);
  });

  test('are each one tool, however often it was asked for', () => {
    const turn = fold(
      exchange('r1', { ...asking, toolUses: [bash] }),
      exchange('r2', { ...asking, at: 2_000, toolUses: [bash] }),
      exchange('r3', { at: 4_000, toolResults: [{ id: bash.id, isError: false }] }),
    );

    expect(turn.tools.map(({ id, askedBy, answeredBy }) => [id, askedBy, answeredBy])).toEqual([['t1', 'r1', 'r3']]);
  });

  test('are not those of a broken answer, nor another conversation’s', () => {
    const agent = { class: 'subagent', agentId: 'a1' } as const;
    const turn = fold(
      exchange('r1', { ...asking, toolUses: [bash], failure: { endReason: 'upstream_aborted' } }),
      exchange('r2', { ...agent, ...asking, at: 2_000, toolUses: [read] }),
      exchange('r3', { at: 4_000, toolResults: [{ id: 't2', isError: false }] }),
      exchange('r4', { ...agent, at: 5_000, toolResults: [{ id: 't2', isError: false }] }),
    );

    expect(turn.tools.map(({ id, answeredBy, agentId }) => [id, answeredBy, agentId])).toEqual([['t2', 'r4', 'a1']]);
  });
});
