import { formatMetadata } from '@loom/shared/metadata.ts';

/** A request body like those of Claude Code, with its headers; the same arguments give the same bytes. */
export interface BenchRequest {
  body: Buffer;
  headers: Record<string, string>;
}

/** What the newest message is: typed by a person (the rewriters are asked) or a tool's result (nobody is). */
export type Newest = 'typed' | 'tool-result';

export interface RequestKind {
  /** How long the body is to be; it is that long, give or take 100. */
  bytes: number;
  session: string;
  newest: Newest;
  /** The header that the upstream goes by. */
  answer?: string;
  /** Makes a typed prompt new, as each turn's is. */
  repetition?: number;
}

/** Text as tools give it back: 7 % of it are backslashes once it stands in JSON. */
const CODE = [
  'export function weave(threads: string[]) {',
  '\treturn threads.map((thread) => "→ " + thread);',
  '}',
  '',
].join('\n');
const SYSTEM = [
  { type: 'text', text: 'You are Claude Code, the official CLI.' },
  { type: 'text', text: 'You help with weaving. '.repeat(20), cache_control: { type: 'ephemeral' } },
  { type: 'text', text: '# On the loom\n\n- Say "→" where a thread goes.\n'.repeat(5) },
];
/** Of a body from 64 KB on; a smaller one has two of them. */
const TOOLS = Array.from({ length: 20 }, (_, index) => ({
  name: `Tool${index}`,
  description: `Does thing number ${index}. `.repeat(20),
  input_schema: {
    type: 'object',
    properties: { path: { type: 'string' }, text: { type: 'string' } },
    required: ['path'],
  },
}));
/** About so many bytes are a turn: one block of metadata in 40 KB. */
const TURN_BYTES = 40_000;

/**
 * Builds a conversation: turns of prompt, tool call and code-like result, each prompt with the hook's metadata block
 * before it.
 */
export function buildRequest(kind: RequestKind): BenchRequest {
  const { bytes, session, answer = 'json' } = kind;
  const turns = Math.max(1, Math.round(bytes / TURN_BYTES));
  const empty = write(kind, turns, 0);
  const body = write(kind, turns, Math.max(0, bytes - empty.length) / turns);
  const identity = { 'x-api-key': 'bench', 'x-claude-code-session-id': session };
  return { body, headers: { 'content-type': 'application/json', 'x-bench-answer': answer, ...identity } };
}

function write({ bytes, session, newest, repetition = 0 }: RequestKind, turns: number, resultBytes: number): Buffer {
  const messages = Array.from({ length: turns }, (_, turn) => {
    const isLast = turn === turns - 1;
    const called = [prompt(session, `part ${turn}`), toolCall(turn), toolResult(turn, resultBytes)];
    return isLast && newest === 'tool-result' ? called : [...called, text('assistant', 'Done.')];
  }).flat();
  if (newest === 'typed') messages.push(prompt(session, `part ${turns}, for the ${repetition}th time`));
  return Buffer.from(
    JSON.stringify({
      model: 'claude-opus-5-5',
      messages,
      system: SYSTEM,
      tools: bytes < 65_536 ? TOOLS.slice(0, 2) : TOOLS,
      metadata: { user_id: JSON.stringify({ device_id: 'd', account_uuid: '', session_id: session }) },
      max_tokens: 32_000,
      stream: true,
    }),
  );
}

function prompt(session: string, what: string): unknown {
  const typed = `Please look at ${what} again.`;
  const line = formatMetadata({
    v: 1,
    session_id: session,
    trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    prompt: typed,
    source: 'alpha',
    machine: { fqdn: 'pi.example', ram: '4 GB', uptime: '3 days', disk: '20 GB' },
  });
  const hook = `<system-reminder>\nUserPromptSubmit hook additional context: ${line}\n</system-reminder>`;
  return {
    role: 'user',
    content: [
      { type: 'text', text: hook },
      { type: 'text', text: typed },
    ],
  };
}

function toolCall(turn: number): unknown {
  return {
    role: 'assistant',
    content: [{ type: 'tool_use', id: `toolu_${turn}`, name: 'Tool1', input: { path: `src/${turn}.ts` } }],
  };
}

/** @param bytes as it stands in JSON, where what CODE escapes is longer */
function toolResult(turn: number, bytes: number): unknown {
  const escaped = Buffer.byteLength(JSON.stringify(CODE)) - 2;
  const lines = CODE.repeat(Math.floor(bytes / escaped));
  return { role: 'user', content: [{ type: 'tool_result', tool_use_id: `toolu_${turn}`, content: lines }] };
}

function text(role: string, words: string): unknown {
  return { role, content: [{ type: 'text', text: words }] };
}
