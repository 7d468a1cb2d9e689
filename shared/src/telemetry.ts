import { randomBytes } from 'node:crypto';
import {
  type Attributes,
  type Context,
  context,
  createContextKey,
  createTraceState,
  isSpanContextValid,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
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
  // Of a trace that belongs to no turn: Phoenix shows a session by the newest root that has `session.id`.
  looseSessionId: 'loom.session.id',
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
  turnId: 'loom.turn.id',
  // Arize Phoenix shows spans of a kind of its own alone: https://arize-ai.github.io/openinference/spec/
  openinferenceKind: 'openinference.span.kind',
  conversationCompacted: 'gen_ai.conversation.compacted',
  compactPhase: 'loom.compact.phase',
  anthropicRequestId: 'anthropic.request_id',
  forwardedBytes: 'loom.forwarded.bytes',
  responseBytes: 'loom.response.bytes',
  metadataBlocks: 'loom.metadata.blocks',
  replayedEdits: 'loom.ledger.replayed',
  heldMs: 'loom.hold.ms',
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

interface SpanStart {
  kind?: SpanKind;
  attributes?: Attributes;
  links?: Link[];
  startTime?: number;
}

/**
 * Starts a span that can always be named in a `traceparent`. Where nothing is recorded (no SDK, or tracing suppressed)
 * it passes its parent's identity on, and without a parent it has random ids: what descends from it stays together.
 *
 * @example
 * const span = startSpan('send loom:requests', { kind: SpanKind.PRODUCER }, context.active());
 */
export function startSpan(name: string, options: SpanStart, parent: Context): Span {
  const span = trace.getTracer('loom').startSpan(name, options, parent);
  if (isSpanContextValid(span.spanContext())) return span;
  const inherited = trace.getSpanContext(parent);
  return inherited && isSpanContextValid(inherited) ? trace.wrapSpanContext(inherited) : mintSpan(inherited);
}

/**
 * Starts a span with an identity of its own, also where nothing is recorded: one that events name, so that whoever reads
 * them can tell it from its parent.
 */
export function startOwnSpan(name: string, options: SpanStart, parent: Context): Span {
  const span = trace.getTracer('loom').startSpan(name, options, parent);
  return span.isRecording() ? span : mintSpan(trace.getSpanContext(parent));
}

/** A span that nobody records, in its parent's trace if there is one. */
function mintSpan(parent: SpanContext | undefined): Span {
  return trace.wrapSpanContext({
    traceId: parent && isSpanContextValid(parent) ? parent.traceId : randomBytes(16).toString('hex'),
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

// The key of @opentelemetry/core, which an SDK looks for; that package loads every semantic convention there is for it.
const SUPPRESSED = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

/** The context in which an SDK makes no spans; its trace stays that of `parent`. */
export function suppressTracing(parent: Context): Context {
  return parent.setValue(SUPPRESSED, true);
}

/**
 * Runs what asks Redis on the service's own account, such as an acknowledgement or a heartbeat: it is nothing that the
 * trace is about, and makes no spans. Log lines still belong to the trace.
 */
export function untraced<T>(action: () => T): T {
  return context.with(suppressTracing(context.active()), action);
}

const SHUTDOWN_MS = 3_000;

/** What can be asked of an SDK that runs. */
export interface Telemetry {
  /** Sends the spans that have ended; resolves to whether the collector has all of them since the last time. */
  flush: () => Promise<boolean>;
  /** Sends what is left and ends it; may reject. */
  shutdown: () => Promise<unknown>;
}

let telemetry: Telemetry | undefined;
let ending: Promise<boolean> | undefined;

/** Names the SDK of this process; for whoever started one. */
export function useTelemetry(started: Telemetry): void {
  telemetry = started;
  ending = undefined;
}

/**
 * Sends the spans that have ended. Resolves to whether the collector has all that ended since the last time; false also
 * where nothing is exported. Takes as long as the exporter tries.
 */
export async function flushTelemetry(): Promise<boolean> {
  return (await telemetry?.flush()) ?? false;
}

/**
 * Sends what is still buffered and ends the export; resolves to whether the last spans are with the collector. Takes at
 * most 3 s and never rejects: a collector that is away must not hold a drain. May be called again.
 */
export function shutdownTelemetry(): Promise<boolean> {
  ending ??= endTelemetry();
  return ending;
}

async function endTelemetry(): Promise<boolean> {
  if (!telemetry) return false;
  const { promise: timeout, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), SHUTDOWN_MS);
  const { flush, shutdown } = telemetry;
  // The exporter rejects when the collector is away; its spans are lost then, and there is nobody left to tell.
  const ended = Promise.all([flush(), shutdown().catch(() => {})]).then(([isSent]) => isSent);
  const isSent = await Promise.race([ended, timeout]);
  clearTimeout(timer);
  return isSent;
}
