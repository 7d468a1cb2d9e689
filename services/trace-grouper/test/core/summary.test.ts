import { describe, expect, test } from '@jest/globals';
import { agentSpanIdOf, turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { TurnSummary } from '@loom/shared/turn-summary.ts';
import { foldTurn } from '../../src/core/fold.ts';
import { parsePrices } from '../../src/core/prices.ts';
import { spansOf } from '../../src/core/spans.ts';
import { summaryOf } from '../../src/core/summary.ts';
import type { Turn } from '../../src/core/turn.ts';
import { turnEnded } from '../../src/core/turn-events.ts';
import { BEGIN, exchange, recordsOf, SESSION, spanIdOf, TRACE } from '../story.ts';

const prices = parsePrices(`
version: test-1
models:
  - names: [claude-opus-5-5]
    rates: { input: 5, output: 25, cacheWrite5m: 6, cacheWrite1h: 10, cacheRead: 0.5 }
`);
const usage = { input_tokens: 1_000, cache_read_input_tokens: 4_000, output_tokens: 200 };
const turnSpanId = turnSpanIdOf(TRACE.traceId, TRACE.rootSpanId);

function summarise(...exchanges: ReturnType<typeof exchange>[]): TurnSummary {
  const turn = foldTurn(recordsOf(...exchanges)) as Turn;
  const spans = spansOf(turn, { prices, capture: 'delta', prefix: 'loom' });
  return summaryOf(turn, turnEnded(turn, prices).data, spans, prices);
}

describe('summaryOf', () => {
  test('shows a call as the gateway’s span and the model’s, with tokens and cost', () => {
    const { spans } = summarise(exchange('r1', { hook: {}, usage }));

    const [request, ...others] = spans;
    expect(request).toEqual({
      name: 'loom: POST /v1/messages',
      kind: 'server',
      spanId: spanIdOf('r1'),
      parentSpanId: turnSpanId,
      startedAt: BEGIN,
      endedAt: BEGIN + 1_000,
      status: 'unset',
    });
    const chat = others.find(({ name }) => name.startsWith('chat'));
    expect(chat).toEqual({
      name: 'chat claude-opus-5-5',
      kind: 'client',
      spanId: chat?.spanId,
      parentSpanId: spanIdOf('r1'),
      startedAt: BEGIN + 10,
      endedAt: BEGIN + 1_000,
      status: 'unset',
      tokens: { prompt: 5_000, completion: 200, cacheRead: 4_000, cacheWrite: 0 },
      costUsd: 0.012,
    });
    expect(others.map(({ name }) => name)).toEqual([`user-turn:${SESSION}`, 'collect-metadata', 'turn', chat?.name]);
  });

  test('says what was particular about a call, and what rewriters did', () => {
    const edits = [
      { rewriter: 'compact-rewriter', outcome: 'applied', operations: 2, waitedMs: 3 },
      { rewriter: 'intro-injector', outcome: 'late', operations: 0, waitedMs: 150 },
    ] as const;
    const failure = { endReason: 'upstream_error', errorType: 'overloaded_error' } as const;
    const retried = exchange('r2', { at: 2_000, body: 'c' }).map((event) =>
      event.type === 'request.forwarded' ? { ...event, data: { ...event.data, edits: [...edits] } } : event,
    );

    const { spans } = summarise(
      exchange('r1', { body: 'c', failure }),
      retried,
      exchange('r3', { at: 4_000, class: 'subagent', agentId: 'a1', isOpen: true }),
      exchange('r4', { at: 6_000, failure: { endReason: 'client_closed' } }),
    );

    const shown = spans.flatMap(({ kind, note, status, edits, errorType, parentSpanId }) =>
      kind === 'server' ? [[note, status, edits, errorType, parentSpanId]] : [],
    );
    expect(shown).toEqual([
      ['upstream_error', 'error', undefined, 'overloaded_error', turnSpanId],
      ['retry', 'unset', ['compact-rewriter applied 2', 'intro-injector late'], undefined, turnSpanId],
      ['subagent, open', 'unset', undefined, undefined, agentSpanIdOf(TRACE.traceId, TRACE.rootSpanId, 'a1')],
      ['client_closed', 'unset', undefined, undefined, turnSpanId],
    ]);
  });

  test('holds nothing of what was said, and is what loom trace reads', () => {
    const said = [{ role: 'user', content: [{ type: 'text', text: 'Mend the gate.' }] }];

    const summary = summarise(
      exchange('r1', { hook: { prompt: 'Mend the gate.' }, text: 'The gate holds.', input: said }),
    );

    expect(JSON.stringify(summary)).not.toMatch(/the gate/i);
    expect(TurnSummary.parse(summary)).toEqual(summary);
  });

  test('hangs the calls of a client that traces itself under the turn: its own spans are not here', () => {
    const trace = { origin: 'client', clientSpanId: 'c'.repeat(16) } as const;

    const { spans } = summarise(exchange('r1', { trace }));

    expect(spans.map(({ name, parentSpanId }) => [name, parentSpanId])).toEqual([
      ['loom: POST /v1/messages', turnSpanId],
      ['turn', 'c'.repeat(16)],
      ['chat claude-opus-5-5', spanIdOf('r1')],
    ]);
  });
});
