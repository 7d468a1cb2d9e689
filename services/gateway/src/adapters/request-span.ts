import type { ExchangeTrace, RequestClass } from '@loom/shared/event.ts';
import { ATTRIBUTE, startOwnSpan } from '@loom/shared/telemetry.ts';
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import type { Headers } from '../core/identity.ts';
import { shortHeader } from '../core/messages-request.ts';
import type { PlacedTrace } from '../core/place-trace.ts';
import { turnKey } from '../core/turn-record.ts';

export interface RequestSpan {
  span: Span;
  /** Its context: what the exchange publishes descends from it. */
  context: Context;
  /** Where the exchange stands, as its events say it. */
  trace: ExchangeTrace;
}

/**
 * Starts the span of a request where it was placed; it has an identity of its own, whether or not anybody records it.
 *
 * @param startTime by `performance.now()`; its end is to be told by the same clock
 */
export function startRequestSpan(
  { traceId, rootSpanId, parentSpanId, origin, clientSpanId, link }: PlacedTrace,
  path: string,
  attributes: Attributes,
  startTime: number,
): RequestSpan {
  const parent =
    traceId === undefined || parentSpanId === undefined
      ? ROOT_CONTEXT
      : trace.setSpanContext(ROOT_CONTEXT, remote(traceId, parentSpanId));
  const turn =
    traceId === undefined || rootSpanId === undefined ? {} : { [ATTRIBUTE.turnId]: turnKey({ traceId, rootSpanId }) };
  const options = {
    kind: SpanKind.SERVER,
    startTime,
    attributes: {
      [ATTRIBUTE.httpMethod]: 'POST',
      [ATTRIBUTE.urlPath]: path,
      [ATTRIBUTE.openinferenceKind]: 'CHAIN',
      [ATTRIBUTE.traceOrigin]: origin,
      ...turn,
      ...attributes,
    },
    links: link ? [{ context: remote(link.traceId, link.spanId) }] : [],
  };
  const span = startOwnSpan(`loom: POST ${path}`, options, parent);
  const own = span.spanContext();
  return {
    span,
    context: trace.setSpan(parent, span),
    trace: {
      traceId: own.traceId,
      // A request that belongs to no turn is its own beginning.
      rootSpanId: rootSpanId ?? own.spanId,
      spanId: own.spanId,
      origin,
      ...(clientSpanId && { clientSpanId }),
      ...(link && { link: { traceId: link.traceId, spanId: link.spanId } }),
    },
  };
}

/** What a compaction's span says of itself, and that of the first call after it. */
export function compactionAttributes(headers: Headers, requestClass: RequestClass): Attributes {
  const isAfter = shortHeader(headers, 'x-claude-code-context-compacted') !== undefined;
  if (requestClass !== 'compaction' && !isAfter) return {};
  return { [ATTRIBUTE.conversationCompacted]: true, [ATTRIBUTE.compactPhase]: isAfter ? 'continuation' : 'summary' };
}

/** Not sampled by the client is wanted here all the same. */
function remote(traceId: string, spanId: string): SpanContext {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true };
}
