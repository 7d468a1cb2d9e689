import { type Attributes, type Context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Entry } from './claim.ts';
import type { LoomEvent } from './event.ts';
import { errorTypeOf, reasonOf } from './redaction.ts';
import { ATTRIBUTE, startSpan } from './telemetry.ts';

/** What a send span is about; `stream` is the key without what is particular to one reader (`loom:edits`). */
export interface Sending {
  stream: string;
  key: string;
  id: string;
  type: string;
  subject: string;
}

/** The PRODUCER span of one event. Its identity becomes the event's traceparent, so it is also what made the event. */
export function startSendSpan({ stream, key, id, type, subject }: Sending, parent: Context): Span {
  const attributes = {
    ...operation('send', key),
    [ATTRIBUTE.messagingDestinationTemplate]: stream,
    [ATTRIBUTE.messagingConversationId]: subject,
    [ATTRIBUTE.sessionId]: subject,
    [ATTRIBUTE.eventId]: id,
    [ATTRIBUTE.eventType]: type,
  };
  return startSpan(`send ${stream}`, { kind: SpanKind.PRODUCER, attributes }, parent);
}

/** The CONSUMER span of one delivery: a child of what made the event, so that a trace is one tree, and linked to it. */
export function startProcessSpan(
  event: LoomEvent,
  entry: Entry,
  group: string,
  consumer: string,
  parent: Context,
): Span {
  const attributes = {
    ...operation('process', entry.key),
    [ATTRIBUTE.messagingGroup]: group,
    [ATTRIBUTE.messagingClientId]: consumer,
    [ATTRIBUTE.messagingMessageId]: entry.id,
    [ATTRIBUTE.messagingConversationId]: event.subject,
    [ATTRIBUTE.sessionId]: event.subject,
    [ATTRIBUTE.eventId]: event.id,
    [ATTRIBUTE.eventType]: event.type,
    [ATTRIBUTE.deliveryCount]: entry.deliveries,
  };
  const creation = trace.getSpanContext(parent);
  const links = creation ? [{ context: creation }] : [];
  return startSpan(`process ${entry.key}`, { kind: SpanKind.CONSUMER, attributes, links }, parent);
}

/** Marks a span as failed, without what the error may quote. */
export function failSpan(span: Span, error: unknown): void {
  span.setAttribute(ATTRIBUTE.errorType, errorTypeOf(error));
  span.setStatus({ code: SpanStatusCode.ERROR, message: reasonOf(error) });
}

function operation(name: 'send' | 'process', destination: string): Attributes {
  return {
    [ATTRIBUTE.messagingSystem]: 'redis',
    [ATTRIBUTE.messagingSystemName]: 'redis',
    [ATTRIBUTE.messagingOperationName]: name,
    [ATTRIBUTE.messagingOperationType]: name,
    [ATTRIBUTE.messagingDestination]: destination,
  };
}
