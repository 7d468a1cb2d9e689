import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { foldTurn } from '../../src/core/fold.ts';
import type { TurnRecord } from '../../src/core/record.ts';
import { BEGIN, exchange, recordsOf, SESSION } from '../story.ts';

const failure = { endReason: 'upstream_error', errorType: 'overloaded_error' } as const;
const said = [{ role: 'user', content: [{ type: 'text', text: 'Look left.' }] }];
const task = { type: 'tool_use', id: 't1', input: { prompt: 'Look left.' } };
const records: TurnRecord[] = [
  ...recordsOf(
    exchange('r0', { class: 'auxiliary', text: 'A garden' }),
    exchange('r1', { hook: { prompt: 'Mend it.' }, body: 'c', failure }),
    exchange('r2', {
      at: 1_500,
      body: 'c',
      stopReason: 'tool_use',
      toolUses: [{ id: 't1', name: 'Task' }],
      output: [task],
    }),
    exchange('r3', { at: 3_000, class: 'subagent', agentId: 'a1', agentType: 'Explore', input: said }),
    exchange('r4', { at: 3_000, class: 'subagent', agentId: 'a2', isOpen: true }),
    exchange('r5', { at: 6_000, class: 'compaction', toolResults: [{ id: 't1', isError: false }] }),
    exchange('r6', { at: 8_000, text: 'Mended.', toolDurations: 'Task=400' }),
  ),
  { kind: 'interrupted', session: SESSION, time: BEGIN + 9_000, data: { id: 'l1' } },
  { kind: 'interrupted', session: SESSION, time: BEGIN + 9_500, data: { id: 'l2' } },
];

describe('foldTurn', () => {
  test('makes the same turn of the same events in any order, however often each comes', () => {
    const turn = foldTurn(records);
    const orders = fc
      .array(fc.constantFrom(...records), { maxLength: 10 })
      .chain((repeated) =>
        fc.shuffledSubarray([...records, ...repeated], { minLength: records.length + repeated.length }),
      );

    holds(
      fc.property(orders, (order) => {
        expect(foldTurn(order)).toEqual(turn);
      }),
      300,
    );
  });
});
