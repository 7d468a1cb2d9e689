import { describe, expect, test } from '@jest/globals';
import { foldTurn } from '../../src/core/fold.ts';
import type { Turn } from '../../src/core/turn.ts';
import { BEGIN, exchange, recordsOf } from '../story.ts';

const asking = { stopReason: 'tool_use' } as const;

function fold(...exchanges: ReturnType<typeof exchange>[]): Turn {
  return foldTurn(recordsOf(...exchanges)) as Turn;
}

const told = (text: string) => [{ role: 'user', content: [{ type: 'text', text }] }];

describe('the agents of a turn', () => {
  const agent = (id: string, at: number, more = {}) =>
    exchange(`${id}-1`, { at, class: 'subagent', agentId: id, agentType: 'Explore', ...more });
  const task = (id: string, input?: object) => ({
    use: { id, name: 'Task' },
    block: { type: 'tool_use', id, name: 'Task', ...(input && { input }) },
  });
  const asks = (...tasks: ReturnType<typeof task>[]) =>
    exchange('r1', { ...asking, toolUses: tasks.map(({ use }) => use), output: tasks.map(({ block }) => block) });
  const brings = (...ids: string[]) =>
    exchange('r9', { at: 20_000, toolResults: ids.map((id) => ({ id, isError: false })) });
  const starts = (turn: Turn) => turn.agents.map(({ id, toolUseId }) => [id, toolUseId]);

  test('hang under the tool use that encloses them', () => {
    const second = exchange('a1-2', { at: 5_000, class: 'subagent', agentId: 'a1' });

    expect(fold(asks(task('t1')), agent('a1', 2_000), second, brings('t1')).agents).toEqual([
      { id: 'a1', type: 'Explore', toolUseId: 't1', startedAt: BEGIN + 2_000, endedAt: BEGIN + 6_000 },
    ]);
  });

  test('of a parallel batch are told apart by their type, or by what they were told', () => {
    const both = [
      agent('a1', 2_000, { input: told('Look left.') }),
      agent('a2', 2_001, { input: told('Look right.') }),
    ];
    const typed = [task('t1', { subagent_type: 'Plan' }), task('t2', { subagent_type: 'Explore' })];
    const prompted = [task('t1', { prompt: 'Look right.' }), task('t2', { prompt: 'Look left.' })];

    expect(starts(fold(asks(...typed), agent('a1', 2_000), brings('t1', 't2')))).toEqual([['a1', 't2']]);
    expect(starts(fold(asks(...prompted), ...both, brings('t1', 't2')))).toEqual([
      ['a1', 't2'],
      ['a2', 't1'],
    ]);
  });

  test('hang under none where more than one fits, or one fits more than one agent', () => {
    expect(starts(fold(asks(task('t1'), task('t2')), agent('a1', 2_000), brings('t1', 't2')))).toEqual([
      ['a1', undefined],
    ]);
    expect(starts(fold(asks(task('t1')), agent('a1', 2_000), agent('a2', 3_000), brings('t1')))).toEqual([
      ['a1', undefined],
      ['a2', undefined],
    ]);
  });

  test('hang under none that ran before, or that is no starting of an agent', () => {
    const bash = { ...task('t1'), use: { id: 't1', name: 'Bash' } };

    expect(starts(fold(asks(task('t1')), brings('t1'), agent('a1', 30_000)))).toEqual([['a1', undefined]]);
    expect(starts(fold(asks(bash), agent('a1', 2_000), brings('t1')))).toEqual([['a1', undefined]]);
  });

  test('nest: a parent’s tool use starts its own agents alone', () => {
    const parent = exchange('a1-1', {
      ...asking,
      at: 2_000,
      class: 'subagent',
      agentId: 'a1',
      toolUses: [{ id: 't2', name: 'Task' }],
    });
    const child = agent('a2', 4_000, { parentAgentId: 'a1' });
    const after = exchange('a1-2', {
      at: 9_000,
      class: 'subagent',
      agentId: 'a1',
      toolResults: [{ id: 't2', isError: false }],
    });

    const turn = fold(asks(task('t1')), parent, child, after, brings('t1'));

    expect(turn.agents.map(({ id, parentId, toolUseId }) => [id, parentId, toolUseId])).toEqual([
      ['a1', undefined, 't1'],
      ['a2', 'a1', 't2'],
    ]);
  });
});
