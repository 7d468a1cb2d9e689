import { z } from 'zod';
import { Edit } from './edit.ts';
import { CaptureMode, ExchangeCaptured } from './event-data/capture.ts';
import { ExchangeTrace } from './event-data/exchange-trace.ts';
import { TranscriptLine, TranscriptRefused } from './event-data/transcript.ts';
import { TurnEnded, TurnStarted } from './event-data/turn.ts';
import { Usage } from './event-data/usage.ts';

const milliseconds = z.number().nonnegative();
const bytes = z.int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** main: the user's turn and its tool loop; auxiliary: titles, classifiers, path extraction; probe: warm-up calls. */
export const RequestClass = z.enum(['main', 'subagent', 'compaction', 'auxiliary', 'probe']);
export type RequestClass = z.infer<typeof RequestClass>;

/** A block as an event shows it: text blocks whole, all others by their type alone. */
const ViewBlock = z.looseObject({
  type: z.string(),
  text: z.string().optional(),
});

/**
 * The parts of a request that its rewriters asked for. Pointers address the request as it would be forwarded without
 * them; string content is shown, and may be addressed, as a list of one text block.
 */
export const RequestView = z.looseObject({
  /** The `system` prompt's blocks, in order: `/system/<index>`. */
  system: z.array(ViewBlock).optional(),
  /** The newest message that is not `role: system`: `/messages/<index>/content/<index>`. */
  last: z
    .looseObject({
      pointer: z.string(),
      role: z.string(),
      anchor: sha256.optional(),
      content: z.array(ViewBlock),
    })
    .optional(),
  /** Each text that holds one of the rewriter's literals; `pointer` ends in `/text`. */
  matched: z
    .array(
      z.looseObject({
        label: z.string(),
        pointer: z.string(),
        role: z.string(),
        anchor: sha256.optional(),
        text: z.string(),
      }),
    )
    .optional(),
});
export type RequestView = z.infer<typeof RequestView>;

const exchange = {
  /** Joins all events of one HTTP exchange. */
  requestId: z.string(),
  gateway: z.string(),
  class: RequestClass,
  profile: z.string(),
  model: z.string().nullable(),
  /** Absent in events of gateways before it. */
  trace: ExchangeTrace.optional(),
};

/** What became of one rewriter's edits. */
export const EditOutcome = z.looseObject({
  rewriter: z.string(),
  /**
   * applied; none: it had nothing to change; late: no answer in time; absent: no replica was alive; skipped: its breaker
   * was open; unreachable: Redis did not take the question; refused: the answer broke a rule; error: it said so itself.
   */
  outcome: z.enum(['applied', 'none', 'late', 'absent', 'skipped', 'unreachable', 'refused', 'error']),
  operations: z.int().nonnegative(),
  waitedMs: milliseconds,
  reason: z.string().optional(),
  /** What it was asked for: the labels of its wants that the request met. */
  labels: z.array(z.string()).optional(),
  /** Of the texts that it changed, put in or took out, before and after; only where it was applied. */
  bytesBefore: bytes.optional(),
  bytesAfter: bytes.optional(),
});
export type EditOutcome = z.infer<typeof EditOutcome>;

const response = {
  ...exchange,
  /** HTTP status of the upstream's answer; null when there was none. */
  status: z.int().nullable(),
  /** The upstream's `request-id` header: the client's transcript carries it too. */
  upstreamRequestId: z.string().nullable(),
  responseId: z.string().nullable(),
  /** The model that answered, as the answer names it: what it costs goes by that. Absent in events of gateways before it. */
  responseModel: z.string().nullish(),
  stopReason: z.string().nullable(),
  usage: Usage.nullable(),
  /** The answer's text blocks in order, joined by a blank line; at most 16 KiB. */
  text: z.string(),
  textTruncated: z.boolean(),
  toolUses: z.array(z.looseObject({ id: z.string(), name: z.string() })),
  /** When the request arrived, RFC 3339 with milliseconds, UTC; the times below count from it. */
  startedAt: z.string().optional(),
  firstByteMs: milliseconds.nullable(),
  /** The first piece of the answer itself, after `message_start` and pings. */
  firstContentMs: milliseconds.nullish(),
  /** The `anthropic-ratelimit-*` headers of the answer, as they came. */
  rateLimits: z.record(z.string(), z.string()).optional(),
  durationMs: milliseconds,
  bytes,
};

/** The data of every event type. A field that is not listed here passes through: newer writers, older readers. */
export const EventData = {
  'request.received': z.looseObject({
    ...exchange,
    /** Where rewriters answer. */
    replyStream: z.string(),
    /** Who is waited for, and how long at most, counted from the entry's id. */
    awaited: z.array(
      z.looseObject({
        rewriter: z.string(),
        holdMs: milliseconds,
        labels: z.array(z.string()),
      }),
    ),
    path: z.string(),
    stream: z.boolean(),
    capture: CaptureMode.optional(),
    agentId: z.string().optional(),
    agentType: z.string().optional(),
    parentAgentId: z.string().optional(),
    promptId: z.string().optional(),
    /** The client's word for the compaction that it has just done (`manual`, `auto`), on the first call after it. */
    contextCompacted: z.string().optional(),
    /** API-side compaction instructions (`context_management.edits[].instructions`) were seen and left alone. */
    apiCompaction: z.boolean().optional(),
    body: z.looseObject({
      bytes,
      messages: z.int().nonnegative(),
      tools: z.int().nonnegative(),
      /** Of the body as it would be forwarded without rewriters; only when somebody is awaited. */
      sha256: sha256.optional(),
    }),
    /** What the newest valid metadata block says; absent when there is none. */
    hook: z
      .looseObject({
        source: z.string().optional(),
        prompt: z.string().optional(),
        transcriptPath: z.string().optional(),
        sentAt: z.string().optional(),
        machine: z.record(z.string(), z.unknown()).optional(),
        cwd: z.string().optional(),
        /** How long the hook collected, milliseconds: the span `collect-metadata` ends then. */
        collectedMs: z.number().optional(),
        /** The hook sends its spans itself. */
        exportsSpans: z.boolean().optional(),
        /** The span of the client's own tracing that the root span descends from. */
        parentSpanId: z.string().optional(),
      })
      .optional(),
    view: RequestView.optional(),
  }),
  'edits.proposed': z.looseObject({
    requestId: z.string(),
    rewriter: z.string(),
    replica: z.string(),
    /** `body.sha256` of the question, so that an answer can only ever meet the body that it was made for. */
    bodySha256: sha256,
    edits: z.array(Edit).max(1000),
    /** Says that the rewriter failed; the request then goes on at once. */
    error: z.string().optional(),
  }),
  'request.forwarded': z.looseObject({
    ...exchange,
    bytesIn: bytes,
    bytesOut: bytes,
    /** Metadata blocks that were cut, the history's included. */
    metadataBlocks: z.int().nonnegative(),
    /** Durable edits that were replayed from the ledger. */
    replayed: z.int().nonnegative(),
    edits: z.array(EditOutcome),
    /** The newest human message's anchor. */
    anchor: sha256.optional(),
    heldMs: milliseconds,
    capture: CaptureMode.optional(),
    agentId: z.string().optional(),
    agentType: z.string().optional(),
    parentAgentId: z.string().optional(),
    /** When the request arrived, and when it went out. RFC 3339 with milliseconds, UTC. */
    startedAt: z.string().optional(),
    forwardedAt: z.string().optional(),
    /** Where it went. */
    upstream: z.looseObject({ address: z.string(), port: z.int() }).optional(),
    /** SHA-256 of the body as it went upstream: a retry repeats it. */
    bodySha256: sha256.optional(),
    /** The tool results after the newest assistant message: what the client did since the last answer. */
    toolResults: z.array(z.looseObject({ id: z.string(), isError: z.boolean() })).optional(),
    /** The client's own `x-claude-code-prev-tool-durations`, such as `Bash=38`, milliseconds. */
    toolDurations: z.string().optional(),
  }),
  'response.completed': z.looseObject(response),
  'response.failed': z.looseObject({
    ...response,
    endReason: z.enum(['client_closed', 'upstream_aborted', 'upstream_error', 'timeout', 'shutdown']),
    /**
     * `error.type` of the API, the system's error code (`ECONNREFUSED`; `ECONNRESET` also for an answer that was cut),
     * `timeout`, or `stream_incomplete` for a stream that ended without its `message_stop`. Never the message: it may
     * quote a key.
     */
    errorType: z.string().nullable(),
    /** The newest human message's anchor, where the request was never forwarded: whatever was to go with it did not. */
    anchor: sha256.optional(),
  }),
  'rewriter.bypassed': z.looseObject({
    requestId: z.string(),
    rewriter: z.string(),
    outcome: z.string(),
    waitedMs: milliseconds,
    reason: z.string().optional(),
  }),
  'identity.lost': z.looseObject({
    requestId: z.string(),
    rewriter: z.string(),
    labels: z.array(z.string()),
    waitedMs: milliseconds,
    reason: z.string(),
  }),
  'compaction.unrecognised': z.looseObject({
    requestId: z.string(),
    reason: z.string(),
    /** The first 200 characters of an instruction, the last 200 of a continuation: what a new signature has to match. */
    opening: z.string(),
  }),
  'exchange.captured': ExchangeCaptured.extend(exchange),
  'transcript.line': TranscriptLine,
  'transcript.refused': TranscriptRefused,
  'turn.started': TurnStarted,
  'turn.ended': TurnEnded,
  'spool.full': z.looseObject({
    gateway: z.string(),
    dropped: z.int().positive(),
  }),
  'stream.gap': z.looseObject({
    /** Without the key prefix. */
    stream: z.string(),
    group: z.string(),
    /** `unread`: the group was never given them; `pending`: it was, and did not acknowledge them. */
    state: z.enum(['unread', 'pending']),
    /** Entry ids: what is lost came after `from` where it was unread, began with it where it was pending. */
    from: z.string(),
    /** What was unread came before this entry, the oldest that is left; what was pending ended with it. */
    to: z.string(),
    lost: z.int().positive(),
  }),
  /** What Redis alone held is lost: events that nobody had read, turns under way. */
  'redis.emptied': z.looseObject({
    /** Who noticed. */
    gateway: z.string(),
    /** When it was there for the last time. RFC 3339, UTC. */
    since: z.iso.datetime(),
  }),
} as const;

export { type CapturedMessage, CaptureMode, type ContentBlock } from './event-data/capture.ts';
export type { ExchangeTrace } from './event-data/exchange-trace.ts';
export type { Usage } from './event-data/usage.ts';

export type EventType = keyof typeof EventData;
export type DataOf<Type extends EventType> = z.infer<(typeof EventData)[Type]>;

/** The stream of each event type, without the key prefix. `edits` is one stream a gateway: `edits:<gateway>`. */
export const STREAM_OF = {
  'request.received': 'requests',
  'edits.proposed': 'edits',
  'request.forwarded': 'responses',
  'response.completed': 'responses',
  'response.failed': 'responses',
  'rewriter.bypassed': 'alerts',
  'identity.lost': 'alerts',
  'compaction.unrecognised': 'alerts',
  'exchange.captured': 'captures',
  'transcript.line': 'transcripts',
  'transcript.refused': 'alerts',
  'turn.started': 'turns',
  'turn.ended': 'turns',
  'spool.full': 'alerts',
  'stream.gap': 'alerts',
  'redis.emptied': 'alerts',
} as const satisfies Record<EventType, string>;
export type StreamName = (typeof STREAM_OF)[EventType];

/** How many entries each stream keeps, approximately, once its groups have read them. */
export const KEEP = {
  requests: 2_000,
  edits: 2_000,
  responses: 20_000,
  /** The largest entries there are, content and all: at some 20 KB each, 20 MB. */
  captures: 1_000,
  /** About 4 KB each, a line of 64 KB at most. */
  transcripts: 10_000,
  turns: 5_000,
  alerts: 5_000,
  'dead-letters': 5_000,
} as const;

/** The streams that a gateway trims to `KEEP`; the others have no groups, and whoever writes trims them. */
export const KEPT_FOR_GROUPS = ['requests', 'responses', 'captures', 'transcripts', 'turns', 'alerts'] as const;

/**
 * The `MAXLEN ~` of whoever writes to a stream: twice what it keeps, as long as a group that is alive has not read on.
 * Only here does memory go before events.
 */
export function capOf(stream: keyof typeof KEEP): number {
  return (KEPT_FOR_GROUPS as readonly string[]).includes(stream) ? 2 * KEEP[stream] : KEEP[stream];
}

/** What a handler returns: the facts of an event. The run loop or the publisher adds the envelope. */
export type Draft = {
  [Type in EventType]: {
    type: Type;
    data: DataOf<Type>;
    /** Session id. */
    subject: string;
    /** The key to write to, where the type alone does not say it (`edits.proposed`). */
    stream?: string;
    /** Of the event, where it follows from what the event is about: made twice, it is a repetition. Else a new one. */
    id?: string;
  };
}[EventType];

/** An event with its envelope: the CloudEvents 1.0 attributes, unprefixed, and `data`. */
export type LoomEvent<Type extends EventType = EventType> = {
  [T in Type]: {
    type: T;
    /** Unique together with `source`; the same on every retry, so consumers drop repetitions by it. */
    id: string;
    source: string;
    subject: string;
    /** RFC 3339, UTC. */
    time: string;
    traceparent: string;
    tracestate?: string | undefined;
    data: DataOf<T>;
  };
}[Type];

/** An entry that is no event of ours: expected, got and where. Never retried. */
export class InvalidEventError extends Error {
  override name = 'InvalidEventError';
}

/** An event of a type that is newer than this reader: none of its business, and no fault. */
export class UnknownEventTypeError extends InvalidEventError {
  override name = 'UnknownEventTypeError';
}

const Envelope = z.object({
  specversion: z.literal('1.0'),
  id: z.string().min(1).max(256),
  source: z.string().min(1),
  type: z.string().min(1),
  subject: z.string(),
  time: z.string(),
  datacontenttype: z.literal('application/json'),
  /** Of somebody else's entry that is in no trace: empty. */
  traceparent: z.string().default(''),
  tracestate: z.string().optional(),
  data: z.string(),
});

/**
 * Writes an event as the flat field list of a stream entry.
 *
 * @example
 * encodeEvent(event); // ['specversion', '1.0', 'id', '0197…', 'type', 'request.received', …, 'data', '{"requestId":…}']
 */
export function encodeEvent(event: LoomEvent): string[] {
  const { type, id, source, subject, time, traceparent, tracestate, data } = event;
  const fields = ['specversion', '1.0', 'id', id, 'source', source, 'type', type, 'subject', subject, 'time', time];
  fields.push('datacontenttype', 'application/json', 'traceparent', traceparent);
  if (tracestate) fields.push('tracestate', tracestate);
  fields.push('data', JSON.stringify(data));
  return fields;
}

/**
 * Reads a stream entry's fields; throws InvalidEventError for anything that is not an event of a known type.
 *
 * @param fields the flat list of names and values, as ioredis gives it
 */
export function decodeEvent(fields: string[]): LoomEvent {
  const record: Record<string, string> = {};
  for (let at = 0; at + 1 < fields.length; at += 2) record[fields[at] as string] = fields[at + 1] as string;

  const envelope = Envelope.safeParse(record);
  if (!envelope.success)
    throw new InvalidEventError(`expected a CloudEvents 1.0 entry, got ${describe(envelope.error)}`);
  const { type, data, specversion: _, datacontenttype: __, ...attributes } = envelope.data;
  if (!isEventType(type)) throw new UnknownEventTypeError(`expected a known event type, got ${JSON.stringify(type)}`);

  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch (error) {
    throw new InvalidEventError(`expected JSON in the data of ${type}`, {
      cause: error,
    });
  }
  const parsed = EventData[type].safeParse(json);
  if (!parsed.success) throw new InvalidEventError(`expected the data of ${type}, got ${describe(parsed.error)}`);
  return { ...attributes, type, data: parsed.data } as LoomEvent;
}

export function isEventType(type: string): type is EventType {
  return Object.hasOwn(EventData, type);
}

function describe(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.') || 'entry'}: ${issue.message}`).join('; ');
}
