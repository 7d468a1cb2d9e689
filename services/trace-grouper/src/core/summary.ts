import type { DataOf } from '@loom/shared/event.ts';
import { tokensOf } from '@loom/shared/tokens.ts';
import { agentSpanIdOf, turnSpanIdOf } from '@loom/shared/turn-span.ts';
import type { SummarySpan, TurnSummary } from '@loom/shared/turn-summary.ts';
import { billedModel, costOf, type Prices } from './prices.ts';
import type { SpanData } from './span-data.ts';
import type { Call, Turn } from './turn.ts';

/**
 * What `loom trace` shows of a turn: its spans, and the request spans that the gateway sends by itself, without a word of
 * the conversation.
 *
 * @param spans those that are exported for the turn
 */
export function summaryOf(
  turn: Turn,
  ended: DataOf<'turn.ended'>,
  spans: readonly SpanData[],
  prices: Prices,
): TurnSummary {
  const { prompt: _, answer: __, ...facts } = ended;
  const calls = new Map(turn.calls.map((call) => [call.spanId, call]));
  return {
    session: turn.session,
    turn: { ...facts, prompt: null, answer: null },
    spans: [
      ...turn.calls.map((call) => requestSpan(turn, call)),
      ...spans.map((span) => summarySpan(span, calls.get(span.parentSpanId ?? ''), prices)),
    ],
  };
}

/** Under the turn or its agent, also where a client that traces itself has a span of its own in between. */
function requestSpan({ traceId, rootSpanId }: Turn, call: Call): SummarySpan {
  const { agentId } = call;
  const parentSpanId =
    agentId === undefined ? turnSpanIdOf(traceId, rootSpanId) : agentSpanIdOf(traceId, rootSpanId, agentId);
  const isFailed = !['complete', 'client_closed', undefined].includes(call.endReason);
  const note = [
    ...(call.class === 'main' ? [] : [call.class]),
    ...(call.retryOf === undefined ? [] : ['retry']),
    ...(call.endReason === undefined ? ['open'] : call.endReason === 'complete' ? [] : [call.endReason]),
  ].join(', ');
  return {
    name: 'loom: POST /v1/messages',
    kind: 'server',
    spanId: call.spanId,
    parentSpanId,
    startedAt: call.startedAt,
    endedAt: call.endedAt ?? call.startedAt,
    status: isFailed ? 'error' : 'unset',
    ...(note !== '' && { note }),
    ...(call.edits.length > 0 && { edits: call.edits.map(editOf) }),
    ...(call.errorType !== null && { errorType: call.errorType }),
  };
}

function editOf({ rewriter, outcome, operations }: Call['edits'][number]): string {
  return `${rewriter} ${outcome}${outcome === 'applied' ? ` ${operations}` : ''}`;
}

function summarySpan(span: SpanData, call: Call | undefined, prices: Prices): SummarySpan {
  const { name, kind, spanId, parentSpanId, startedAt, endedAt, status } = span;
  const errorType = span.attributes['error.type'];
  const cost = call?.usage ? costOf(call.usage, billedModel(call), prices) : undefined;
  return {
    name,
    kind,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    startedAt,
    endedAt,
    status,
    ...(call?.usage && { tokens: tokenCounts(call.usage) }),
    ...(cost && { costUsd: cost.total }),
    ...(typeof errorType === 'string' && { errorType }),
  };
}

function tokenCounts(usage: NonNullable<Call['usage']>): NonNullable<SummarySpan['tokens']> {
  const { prompt, completion, cacheRead, cacheWrite } = tokensOf(usage);
  return { prompt, completion, cacheRead, cacheWrite };
}
