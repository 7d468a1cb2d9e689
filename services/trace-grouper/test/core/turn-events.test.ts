import { describe, expect, test } from '@jest/globals';
import { EventData } from '@loom/shared/event.ts';
import { foldTurn } from '../../src/core/fold.ts';
import { parsePrices } from '../../src/core/prices.ts';
import type { PlacedRecord } from '../../src/core/record.ts';
import type { Turn } from '../../src/core/turn.ts';
import { endTurn } from '../../src/core/turn-end.ts';
import { turnEnded, turnStarted } from '../../src/core/turn-events.ts';
import { exchange, KEY, recordsOf, SESSION, TRACE } from '../story.ts';

const prices = parsePrices(`
version: test-1
models:
  - names: [claude-opus-5-5]
    rates: { input: 5, output: 25, cacheWrite5m: 6, cacheWrite1h: 10, cacheRead: 0.5 }
`);
const hook = { prompt: 'Mend the gate.' };
const facts = { turn: KEY, ...TRACE, profile: 'alpha', startedAt: '2026-11-22T09:00:00.000Z' };

describe('turnStarted', () => {
  test('tells who began, and what was typed if the record says so', () => {
    const [received, forwarded, response] = recordsOf(exchange('r1', { hook })) as PlacedRecord[];

    const started = turnStarted(received as PlacedRecord);

    const data = { ...facts, origin: 'hook', prompt: 'Mend the gate.' };
    expect(started).toEqual({ type: 'turn.started', id: `${KEY}:started`, subject: SESSION, data });
    expect([forwarded, response].map((record) => turnStarted(record as PlacedRecord).data)).toEqual([
      { ...data, prompt: null },
      { ...data, prompt: null },
    ]);
    expect(EventData['turn.started'].parse(data)).toEqual(data);
  });

  test('gives no prompt that belongs to another turn', () => {
    const scene = { hook, trace: { origin: 'session' } } as const;

    const [received] = recordsOf(exchange('r1', scene)) as PlacedRecord[];

    expect(turnStarted(received as PlacedRecord).data).toMatchObject({ prompt: null });
  });
});

describe('turnEnded', () => {
  const usage = { input_tokens: 1_000, cache_read_input_tokens: 4_000, output_tokens: 200 };
  const story = [
    exchange('r1', {
      hook: { prompt: 'x'.repeat(3_000) },
      ...{ stopReason: 'tool_use', usage, body: 'c', failure: { endReason: 'upstream_error' } as const },
    }),
    exchange('r2', {
      ...{ at: 2_000, usage, body: 'c', stopReason: 'tool_use' },
      toolUses: ['t1', 't2', 't3'].map((id) => ({ id, name: id === 't3' ? 'Read' : 'Bash' })),
    }),
    exchange('r3', { at: 3_000, class: 'subagent', agentId: 'a1', usage }),
    exchange('r4', { at: 4_000, class: 'compaction', toolResults: [{ id: 't2', isError: true }] }),
    exchange('r5', { at: 5_000, class: 'auxiliary', usage }),
    exchange('r6', { at: 6_000, text: 'Mended.', usage }),
  ];
  const ended = (...more: ReturnType<typeof exchange>[]) =>
    turnEnded(endTurn(foldTurn(recordsOf(...story, ...more)) as Turn, 'end_turn'), prices);

  test('sums up all calls, and counts by what they were for', () => {
    const draft = ended();

    const data = {
      ...facts,
      origin: 'hook',
      prompt: 'x'.repeat(2_000),
      endedAt: '2026-11-22T09:00:07.000Z',
      durationMs: 7_000,
      endReason: 'end_turn',
      answer: 'Mended.',
      models: ['claude-opus-5-5'],
      calls: { main: 3, subagent: 1, compaction: 1, retried: 1, failed: 1 },
      tools: [
        { name: 'Bash', calls: 2, errors: 1 },
        { name: 'Read', calls: 1, errors: 0 },
      ],
      tokens: { prompt: 25_000, completion: 1_000, cacheRead: 20_000, cacheWrite: 0, total: 26_000 },
      costUsd: 0.06,
      prices: 'test-1',
    };
    expect(draft).toEqual({ type: 'turn.ended', id: `${KEY}:ended`, subject: SESSION, data });
    expect(EventData['turn.ended'].parse(data)).toEqual(data);
  });

  test('has no cost where a model’s price is not known', () => {
    const stranger = exchange('r7', { at: 9_000, model: 'claude-zephyr-9', usage });

    expect(ended(stranger).data).toMatchObject({ costUsd: null, models: ['claude-opus-5-5', 'claude-zephyr-9'] });
  });

  test('names the models of its own work, and not that of a title', () => {
    const title = exchange('r7', { at: 9_000, class: 'auxiliary', model: 'claude-haiku-4-5' });

    expect(ended(title).data.models).toEqual(['claude-opus-5-5']);
  });

  test('says what failed', () => {
    const turn = foldTurn(recordsOf(exchange('r1', { failure: { endReason: 'timeout', status: null } }))) as Turn;

    expect(turnEnded(endTurn(turn, 'error'), prices).data).toMatchObject({
      endReason: 'error',
      errorType: 'timeout',
      prompt: null,
      answer: null,
      costUsd: 0,
    });
  });
});
