import type { DataOf, Draft, EventType, LoomEvent } from '@loom/shared/event.ts';
import type { TurnSummary } from '@loom/shared/turn-summary.ts';
import type { Screen } from '../src/core/screen.ts';

export const SESSION = '3f2a91c0-1111-4222-8333-444455556666';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const ROOT = '00f067aa0ba902b7';

/** A wide screen whose colours can be read in a test: `<green:→>`; its clock is UTC. */
export const screen: Screen = {
  columns: 200,
  paint: (style, text) => `<${style}:${text}>`,
  clock: (time) => new Date(time).toISOString().slice(11, 19),
};

/** The same without colours, so many columns wide. */
export function plainScreen(columns: number): Screen {
  return { ...screen, columns, paint: (_, text) => text };
}

/** An event with its envelope. */
export function event<Type extends EventType>(type: Type, data: DataOf<Type>, subject = SESSION): LoomEvent<Type> {
  const time = '2026-01-01T00:00:10.000Z';
  const traceparent = `00-${TRACE}-${ROOT}-01`;
  return { type, id: 'e1', source: '/loom/test', subject, time, traceparent, data } as LoomEvent<Type>;
}

/** The same event, to be published. */
export function draft<Type extends EventType>({ type, subject, data }: LoomEvent<Type>): Draft {
  return { type, subject, data } as Draft;
}

export function transcriptLine(changes: Partial<DataOf<'transcript.line'>> = {}): DataOf<'transcript.line'> {
  return {
    file: `-home-alpha/${SESSION}.jsonl`,
    offset: 0,
    bytes: 120,
    epoch: 0,
    form: 'json',
    lineType: 'user',
    role: 'user',
    contentTypes: ['text'],
    text: 'The basil\nlooks pale.',
    textTruncated: false,
    ...changes,
  };
}

export function turnEnded(changes: Partial<DataOf<'turn.ended'>> = {}): DataOf<'turn.ended'> {
  return {
    turn: `${TRACE}-${ROOT}`,
    traceId: TRACE,
    rootSpanId: ROOT,
    origin: 'hook',
    profile: 'alpha',
    prompt: 'The basil looks pale.',
    startedAt: '2026-01-01T00:00:10.000Z',
    endedAt: '2026-01-01T00:00:22.500Z',
    durationMs: 12_500,
    endReason: 'end_turn',
    answer: 'It was repotted in May.\nIt wants light.',
    models: ['claude-opus-4-6'],
    calls: { main: 2, subagent: 0, compaction: 0, retried: 0, failed: 0 },
    tools: [
      { name: 'Bash', calls: 1, errors: 0 },
      { name: 'Read', calls: 2, errors: 0 },
    ],
    tokens: { prompt: 20_000, completion: 600, cacheRead: 19_000, cacheWrite: 900, total: 20_600 },
    costUsd: 0.1234,
    prices: '2026-01-01',
    ...changes,
  };
}

const START = Date.parse('2026-01-01T00:00:10.000Z');

/** A turn of two calls with a tool in between. */
export function turnSummary(changes: Partial<TurnSummary> = {}): TurnSummary {
  const span = (spanId: string, name: string, from: number, to: number, parentSpanId?: string) => ({
    spanId,
    name,
    kind: 'internal',
    startedAt: START + from,
    endedAt: START + to,
    status: 'unset' as const,
    ...(parentSpanId !== undefined && { parentSpanId }),
  });
  return {
    session: SESSION,
    turn: turnEnded(),
    spans: [
      { ...span('s6', 'chat claude-opus-4-6', 8_000, 12_500, 's5'), status: 'error', errorType: 'overloaded_error' },
      span('s1', 'turn', 0, 12_500),
      {
        ...span('s3', 'chat claude-opus-4-6', 100, 4_000, 's2'),
        tokens: { prompt: 10_000, completion: 300, cacheRead: 9_500, cacheWrite: 450 },
        costUsd: 0.0042,
      },
      { ...span('s2', 'loom: POST /v1/messages', 0, 4_000, 's1'), edits: ['compact-rewriter applied 2'] },
      { ...span('s4', 'execute_tool Bash', 4_000, 8_000, 's1'), note: 'inferred' },
      span('s5', 'loom: POST /v1/messages', 8_000, 12_500, 's1'),
    ],
    ...changes,
  };
}

/** `response.completed` of a plain answer. */
export function responseCompleted(changes: Partial<DataOf<'response.completed'>> = {}): DataOf<'response.completed'> {
  return {
    requestId: 'r1',
    gateway: 'g1',
    class: 'main',
    profile: 'alpha',
    model: 'claude-opus-4-6',
    status: 200,
    upstreamRequestId: 'req_1',
    responseId: 'msg_1',
    stopReason: 'end_turn',
    usage: { input_tokens: 50, output_tokens: 300, cache_creation_input_tokens: 450, cache_read_input_tokens: 9_500 },
    text: 'It wants light.',
    textTruncated: false,
    toolUses: [],
    firstByteMs: 400,
    durationMs: 2_000,
    bytes: 4_000,
    ...changes,
  };
}

const exchange = { requestId: 'r1', gateway: 'g1', class: 'main', profile: 'alpha', model: 'claude-opus-4-6' } as const;

/** `request.received` that two rewriters are asked about. */
export function requestReceived(changes: Partial<DataOf<'request.received'>> = {}): DataOf<'request.received'> {
  return {
    ...exchange,
    replyStream: 't:edits:g1',
    awaited: [
      { rewriter: 'compact-rewriter', holdMs: 10_000, labels: ['identity'] },
      { rewriter: 'intro-injector', holdMs: 150, labels: [] },
    ],
    path: '/v1/messages',
    stream: true,
    body: { bytes: 1_000, messages: 3, tools: 0, sha256: 'a'.repeat(64) },
    view: {
      system: [
        { type: 'text', text: 'x' },
        { type: 'text', text: 'You are Claude Code.' },
      ],
      last: { pointer: '/messages/2', role: 'user', content: [{ type: 'text', text: 'Tea?' }] },
      matched: [{ label: 'identity', pointer: '/messages/0/content/0/text', role: 'user', text: 'Hello.' }],
    },
    ...changes,
  };
}

export function requestForwarded(changes: Partial<DataOf<'request.forwarded'>> = {}): DataOf<'request.forwarded'> {
  return {
    ...exchange,
    bytesIn: 1_000,
    bytesOut: 1_040,
    metadataBlocks: 1,
    replayed: 2,
    heldMs: 12.4,
    edits: [{ rewriter: 'compact-rewriter', outcome: 'applied', operations: 1, waitedMs: 8 }],
    ...changes,
  };
}

export function editsProposed(changes: Partial<DataOf<'edits.proposed'>> = {}): DataOf<'edits.proposed'> {
  return {
    requestId: 'r1',
    rewriter: 'compact-rewriter',
    replica: 'c1',
    bodySha256: 'a'.repeat(64),
    edits: [{ op: 'replace', path: '/system/1/text', value: 'You are Alpha.' }],
    ...changes,
  };
}
