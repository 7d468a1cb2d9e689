import { randomBytes } from 'node:crypto';
import {
  type Attributes,
  type Context,
  createTraceState,
  isSpanContextValid,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanKind,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { findTraceParent, formatTraceParent } from './trace-context.ts';

/** Every attribute name that Loom writes: OpenTelemetry's semantic conventions 1.45 where they have one, else `loom.*`. */
export const ATTRIBUTE = {
  // 1.45 renames `messaging.system`; backends of today read the old name, so both are written.
  messagingSystem: 'messaging.system',
  messagingSystemName: 'messaging.system.name',
  messagingOperationName: 'messaging.operation.name',
  messagingOperationType: 'messaging.operation.type',
  messagingDestination: 'messaging.destination.name',
  messagingDestinationTemplate: 'messaging.destination.template',
  messagingGroup: 'messaging.consumer.group.name',
  messagingMessageId: 'messaging.message.id',
  messagingBodySize: 'messaging.message.body.size',
  messagingConversationId: 'messaging.message.conversation_id',
  messagingClientId: 'messaging.client.id',
  eventId: 'cloudevents.event_id',
  eventType: 'cloudevents.event_type',
  errorType: 'error.type',
  sessionId: 'session.id',
  httpMethod: 'http.request.method',
  httpStatus: 'http.response.status_code',
  urlPath: 'url.path',
  deliveryCount: 'loom.delivery.count',
  deliveryOutcome: 'loom.delivery.outcome',
  requestId: 'loom.request.id',
  requestClass: 'loom.request.class',
  requestBytes: 'loom.request.bytes',
  profile: 'loom.profile',
  endReason: 'loom.end.reason',
  traceOrigin: 'loom.trace.origin',
} as const;

/** Whether this process exports telemetry: an endpoint is set and the SDK is not switched off. */
export function isTelemetryOn(environment: Record<string, string | undefined> = process.env): boolean {
  return Boolean(environment['OTEL_EXPORTER_OTLP_ENDPOINT']) && environment['OTEL_SDK_DISABLED'] !== 'true';
}

/**
 * The context that an event, or a client, left in its `traceparent` (W3C Trace Context): the parent for what follows
 * from it. It starts from the root, so nothing of the caller's own context gets in; a malformed value gives the root.
 *
 * @example
 * startSpan('process loom:requests', { kind: SpanKind.CONSUMER }, contextOf(event.traceparent, event.tracestate));
 */
export function contextOf(traceparent?: string, tracestate?: string): Context {
  const parent = findTraceParent(traceparent);
  if (!parent) return ROOT_CONTEXT;
  const { traceId, spanId, flags: traceFlags } = parent;
  const remote = { traceId, spanId, traceFlags, isRemote: true };
  return trace.setSpanContext(
    ROOT_CONTEXT,
    tracestate ? { ...remote, traceState: createTraceState(tracestate) } : remote,
  );
}

/**
 * Starts a span that can always be named in a `traceparent`. Where nothing is recorded (no SDK, or tracing suppressed)
 * it passes its parent's identity on, and without a parent it has random ids: what descends from it stays together.
 *
 * @example
 * const span = startSpan('send loom:requests', { kind: SpanKind.PRODUCER }, context.active());
 */
export function startSpan(
  name: string,
  options: { kind?: SpanKind; attributes?: Attributes; links?: Link[] },
  parent: Context,
): Span {
  const span = trace.getTracer('loom').startSpan(name, options, parent);
  if (isSpanContextValid(span.spanContext())) return span;
  const inherited = trace.getSpanContext(parent);
  if (inherited && isSpanContextValid(inherited)) return trace.wrapSpanContext(inherited);
  return trace.wrapSpanContext({
    traceId: randomBytes(16).toString('hex'),
    spanId: randomBytes(8).toString('hex'),
    traceFlags: TraceFlags.SAMPLED,
  });
}

/** The span's identity as the `traceparent` of an event or a header. */
export function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return formatTraceParent({ traceId, spanId, flags: traceFlags });
}

/** The span's vendor state as a `tracestate`; undefined when there is none. */
export function tracestateOf(span: Span): string | undefined {
  return span.spanContext().traceState?.serialize() || undefined;
}

const SHUTDOWN_MS = 3_000;
let shutdown: (() => Promise<unknown>) | undefined;

/** Says what `shutdownTelemetry` has to end; for whoever started an SDK. */
export function onTelemetryShutdown(end: () => Promise<unknown>): void {
  shutdown = end;
}

/** Sends what is still buffered. Takes at most 3 s and never rejects: a collector that is away must not hold a drain. */
export async function shutdownTelemetry(): Promise<void> {
  if (!shutdown) return;
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, SHUTDOWN_MS);
  // The exporter rejects when the collector is away; its spans are lost then, and there is nobody left to tell.
  await Promise.race([shutdown().catch(() => {}), timeout]);
  clearTimeout(timer);
}
