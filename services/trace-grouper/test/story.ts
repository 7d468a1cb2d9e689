import type { CapturedMessage, ContentBlock, DataOf, Draft, ExchangeTrace, LoomEvent } from '@loom/shared/event.ts';
import { type ExchangeEvent, type ExchangeRecord, recordOf } from '../src/core/record.ts';
import { redactWith } from '../src/core/redact.ts';

export const SESSION = '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b';
export const TRACE = { traceId: 'a'.repeat(32), rootSpanId: 'b'.repeat(16) };
export const KEY = `${TRACE.traceId}-${TRACE.rootSpanId}`;
/** When stories begin, where nothing else is said. */
export const BEGIN = Date.parse('2026-11-22T09:00:00.000Z');

/** One exchange of a story, told by what is particular about it. */
export interface Scene {
  /** When it arrives, ms after the beginning. Default 0. */
  at?: number;
  /** How long it takes. Default 1,000. */
  takesMs?: number;
  begin?: number;
  session?: string;
  class?: DataOf<'request.received'>['class'];
  trace?: Partial<ExchangeTrace>;
  agentId?: string;
  agentType?: string;
  parentAgentId?: string;
  hook?: NonNullable<DataOf<'request.received'>['hook']>;
  /** Default `end_turn`. */
  stopReason?: string | null;
  text?: string;
  toolUses?: { id: string; name: string }[];
  toolResults?: { id: string; isError: boolean }[];
  toolDurations?: string;
  body?: string;
  model?: string;
  usage?: DataOf<'response.completed'>['usage'];
  rateLimits?: Record<string, string>;
  /** It fails so. */
  failure?: { endReason: DataOf<'response.failed'>['endReason']; errorType?: string; status?: number | null };
  /** No response yet. */
  isOpen?: boolean;
  input?: CapturedMessage[];
  output?: ContentBlock[];
  capture?: DataOf<'request.received'>['capture'];
}

/**
 * The events of one exchange, as a gateway publishes them.
 *
 * @example
 * exchange('r1', { at: 2_000, stopReason: 'tool_use', toolUses: [{ id: 't1', name: 'Bash' }] });
 */
export function exchange(requestId: string, scene: Scene = {}): ExchangeEvent[] {
  return draftsOf(requestId, scene).map(({ draft, time }, at) => {
    const envelope = { id: `${requestId}-${at}`, source: '/loom/gateway/g1', time, traceparent: '' };
    return { ...envelope, ...draft } as ExchangeEvent;
  });
}

/** The same events before they have their envelopes. */
export function drafts(requestId: string, scene: Scene = {}): Draft[] {
  return draftsOf(requestId, scene).map(({ draft }) => draft);
}

/** Everything that was said is kept. */
export const INTAKE = { withContent: true, redact: redactWith([]) };

/** What a turn keeps of exchanges. */
export function recordsOf(...exchanges: ExchangeEvent[][]): ExchangeRecord[] {
  return exchanges.flat().map((event) => recordOf(event, INTAKE));
}

export function spanIdOf(requestId: string): string {
  return Buffer.from(requestId).toString('hex').padEnd(16, '0').slice(0, 16);
}

function draftsOf(requestId: string, scene: Scene): { draft: Draft; time: string }[] {
  const { at = 0, takesMs = 1_000, begin = BEGIN, session: subject = SESSION } = scene;
  const started = begin + at;
  const iso = (ms: number) => new Date(started + ms).toISOString();
  const optional = <T extends object>(fields: T) =>
    Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
      [Name in keyof T]?: NonNullable<T[Name]>;
    };
  const facts = {
    requestId,
    gateway: 'g1',
    class: scene.class ?? 'main',
    profile: 'alpha',
    model: scene.model ?? 'claude-opus-5-5',
    trace: { ...TRACE, spanId: spanIdOf(requestId), origin: scene.hook ? 'hook' : 'session', ...scene.trace },
  } as const;
  const agent = optional({
    agentId: scene.agentId,
    agentType: scene.agentType,
    parentAgentId: scene.parentAgentId,
    capture: scene.capture,
  });
  const received: Draft = {
    type: 'request.received',
    subject,
    data: {
      ...facts,
      ...agent,
      replyStream: 'loom:edits:g1',
      awaited: [],
      path: '/v1/messages',
      stream: true,
      body: { bytes: 1_000, messages: 1, tools: 1 },
      ...(scene.hook && { hook: scene.hook }),
    },
  };
  const forwarded: Draft = {
    type: 'request.forwarded',
    subject,
    data: {
      ...facts,
      ...agent,
      bytesIn: 1_000,
      bytesOut: 900,
      metadataBlocks: 1,
      replayed: 0,
      edits: [],
      heldMs: 10,
      startedAt: iso(0),
      forwardedAt: iso(10),
      upstream: { address: 'api.anthropic.com', port: 443 },
      ...(scene.body !== undefined && { bodySha256: scene.body.repeat(64).slice(0, 64) }),
      ...optional({ toolResults: scene.toolResults, toolDurations: scene.toolDurations }),
    },
  };
  const response: DataOf<'response.completed'> = {
    ...facts,
    status: 200,
    upstreamRequestId: `req_${requestId}`,
    responseId: `msg_${requestId}`,
    responseModel: `${facts.model}-20260801`,
    stopReason: scene.stopReason === undefined ? 'end_turn' : scene.stopReason,
    usage: scene.usage ?? null,
    text: scene.text ?? '',
    textTruncated: false,
    toolUses: scene.toolUses ?? [],
    startedAt: iso(0),
    firstByteMs: 100,
    firstContentMs: 120,
    ...optional({ rateLimits: scene.rateLimits }),
    durationMs: takesMs,
    bytes: 2_000,
  };
  const ended: Draft = scene.failure
    ? {
        type: 'response.failed',
        subject,
        data: { ...response, stopReason: null, status: 529, errorType: null, ...scene.failure },
      }
    : { type: 'response.completed', subject, data: response };
  const captured: Draft = {
    type: 'exchange.captured',
    subject,
    data: {
      ...facts,
      capture: 'delta',
      input: scene.input ?? [],
      inputOmitted: 0,
      parameters: {},
      output: scene.output ?? [],
      truncated: false,
    },
  };
  return [
    { draft: received, time: iso(0) },
    { draft: forwarded, time: iso(10) },
    ...(scene.isOpen ? [] : [{ draft: ended, time: iso(takesMs) }]),
    ...(scene.input || scene.output ? [{ draft: captured, time: iso(takesMs + 1) }] : []),
  ];
}

/** A line of the session's transcript. */
export function line(
  text: string,
  changes: Partial<DataOf<'transcript.line'>> = {},
): Draft & { type: 'transcript.line' } {
  return {
    type: 'transcript.line',
    subject: SESSION,
    data: {
      file: `-home-alpha/${SESSION}.jsonl`,
      offset: 0,
      bytes: 100,
      epoch: 0,
      form: 'json',
      lineType: 'user',
      role: 'user',
      contentTypes: ['text'],
      text,
      textTruncated: false,
      ...changes,
    },
  };
}

export const STOPPED = '[Request interrupted by user]';

export function lineEvent(draft: Draft & { type: 'transcript.line' }, time: string): LoomEvent<'transcript.line'> {
  return { ...draft, id: 'l1', source: '/loom/transcript-watcher', time, traceparent: '' };
}
