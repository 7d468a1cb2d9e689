import { editAttributes } from '@loom/shared/edit-attributes.ts';
import { STREAM_OF } from '@loom/shared/event.ts';
import { ATTRIBUTE } from './attribute.ts';
import { failureOf } from './chat-span.ts';
import { finishSpan, named, type RenderOptions } from './render.ts';
import type { SpanData } from './span-data.ts';
import type { Call, Send } from './turn.ts';

/** Where a call stands that its gateway did not live to tell of. */
export interface LostPlace {
  traceId: string;
  session: string;
  /** The turn's key; absent for an exchange of no turn. */
  turn?: string;
  profile: string;
  /** When a call is taken to have ended that nobody saw end. */
  endedBy: number;
}

const PATH = '/v1/messages';

/**
 * The spans that a gateway took along when it was killed: the request span, and those of its events. Everything else of
 * the call descends from these. Ids, names and parents are those that the gateway gave them, so that one which it had
 * sent after all is the same span.
 */
export function lostSpans(call: Call, place: LostPlace, options: RenderOptions): SpanData[] {
  return [requestSpan(call, place), ...call.sends.map((send) => sendSpan(call, send, place, options))];
}

function requestSpan(call: Call, { traceId, session, turn, profile, endedBy }: LostPlace): SpanData {
  const { parentSpanId, link, origin } = call;
  const failure = failureOf(call);
  const isCompacted = call.class === 'compaction' || call.contextCompacted !== undefined;
  const edits = call.edits.map((edit) => editAttributes({ ...edit, rewriter: named(edit.rewriter) }));
  const forwarded = call.forwardedAt !== undefined;
  return finishSpan({
    traceId,
    spanId: call.spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    name: `loom: POST ${PATH}`,
    kind: 'server',
    startedAt: call.startedAt,
    endedAt: call.endedAt ?? endedBy,
    attributes: {
      [ATTRIBUTE.spanKind]: 'CHAIN',
      [origin === 'none' ? ATTRIBUTE.session : ATTRIBUTE.sessionId]: session,
      [ATTRIBUTE.turn]: origin === 'none' ? undefined : turn,
      [ATTRIBUTE.httpMethod]: 'POST',
      [ATTRIBUTE.urlPath]: PATH,
      [ATTRIBUTE.origin]: origin,
      [ATTRIBUTE.requestId]: call.requestId,
      [ATTRIBUTE.requestClass]: call.class,
      [ATTRIBUTE.profile]: profile,
      [ATTRIBUTE.requestBytes]: call.bytesIn,
      [ATTRIBUTE.forwardedBytes]: forwarded ? call.bytesOut : undefined,
      [ATTRIBUTE.responseBytes]: call.endedAt === undefined ? undefined : call.bytes,
      [ATTRIBUTE.metadataBlocks]: forwarded ? call.metadataBlocks : undefined,
      [ATTRIBUTE.replayedEdits]: forwarded ? call.replayed : undefined,
      [ATTRIBUTE.heldMs]: forwarded ? call.heldMs : undefined,
      [ATTRIBUTE.compacted]: isCompacted || undefined,
      [ATTRIBUTE.httpStatus]: call.status ?? undefined,
      [ATTRIBUTE.upstreamRequestId]: call.upstreamRequestId ?? undefined,
      [ATTRIBUTE.endReason]: call.endReason ?? 'unknown',
      [ATTRIBUTE.errorType]: failure?.type,
      ...Object.assign({}, ...edits),
    },
    links: link ? [link] : [],
    ...(failure ? { status: 'error', statusMessage: failure.type } : { status: 'unset' }),
  });
}

function sendSpan(call: Call, { spanId, type, at }: Send, place: LostPlace, { prefix }: RenderOptions): SpanData {
  const stream = `${prefix}:${STREAM_OF[type]}`;
  return finishSpan({
    traceId: place.traceId,
    spanId,
    parentSpanId: call.spanId,
    name: `send ${stream}`,
    kind: 'producer',
    startedAt: at,
    endedAt: at,
    attributes: {
      [ATTRIBUTE.sessionId]: place.session,
      [ATTRIBUTE.messagingSystem]: 'redis',
      [ATTRIBUTE.messagingOperation]: 'send',
      [ATTRIBUTE.messagingDestination]: stream,
      [ATTRIBUTE.eventType]: type,
    },
  });
}
