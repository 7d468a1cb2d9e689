import { formatMetadata } from '@loom/shared/metadata.ts';

/** A request body like those of Claude Code, with its headers; the same arguments give the same bytes. */
export interface BenchRequest {
  body: Buffer;
  headers: Record<string, string>;
}

/** What the newest message is: typed by a person (the rewriters are asked) or a tool's result (nobody is). */
export type Newest = 'typed' | 'tool-result';

const CODE = [
  'export function weave(threads: string[]) {',
  '\treturn threads.map((thread) => "→ " + thread);',
  '}',
  '',
].join('\n');
const TOOLS = Array.from({ length: 20 }, (_, index) => ({
  name: `Tool${index}`,
  description: `Does thing number ${index}. `.repeat(20),
  input_schema: {
    type: 'object',
    properties: { path: { type: 'string' }, text: { type: 'string' } },
    required: ['path'],
  },
}));

/**
 * Builds a conversation of about `bytes` bytes: turns of prompt, tool call and code-like result, each prompt with the
 * hook's metadata block before it (one block in about 40 KB).
 *
 * @param repetition makes a typed prompt new, as each turn's is
 */
export function buildRequest(bytes: number, session: string, newest: Newest, repetition: number): BenchRequest {
  const messages: unknown[] = [];
  let size = 0;
  for (let turn = 0; size < bytes - 40_000; turn++) {
    const added = [
      prompt(session, `part ${turn}`),
      toolCall(turn),
      toolResult(turn, 38_000),
      text('assistant', 'Done.'),
    ];
    messages.push(...added);
    size += 39_500;
  }
  const last = messages.length;
  messages.push(prompt(session, newest === 'typed' ? `part ${last}, for the ${repetition}th time` : `part ${last}`));
  if (newest === 'tool-result') messages.push(toolCall(last), toolResult(last, 100));
  const body = Buffer.from(
    JSON.stringify({
      model: 'claude-opus-5-5',
      messages,
      system: [{ type: 'text', text: 'You are an agent. '.repeat(200), cache_control: { type: 'ephemeral' } }],
      tools: TOOLS,
      metadata: { user_id: JSON.stringify({ device_id: 'd', account_uuid: '', session_id: session }) },
      max_tokens: 32_000,
      stream: false,
    }),
  );
  return {
    body,
    headers: { 'content-type': 'application/json', 'x-api-key': 'bench', 'x-claude-code-session-id': session },
  };
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

function toolResult(turn: number, bytes: number): unknown {
  const content = CODE.repeat(Math.ceil(bytes / CODE.length));
  return { role: 'user', content: [{ type: 'tool_result', tool_use_id: `toolu_${turn}`, content }] };
}

function text(role: string, words: string): unknown {
  return { role, content: [{ type: 'text', text: words }] };
}
