import type { InputUsage } from './prompt-cache.ts';

export interface ToolUse {
  id: string;
  name: string;
  input: Record<string, unknown>;
}

/** What the model says, in the order in which the API streams it: thinking, text, tool uses. */
export interface Answer {
  thinking?: string;
  text?: string;
  toolUses?: ToolUse[];
  /** `tool_use` when there are tool uses, else `end_turn`. */
  stopReason?: string;
  usage?: Partial<InputUsage & { output_tokens: number }>;
  id?: string;
  model?: string;
}

export type AnswerBlock =
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'text'; text: string }
  | { type: 'tool_use'; id: string; name: string; input: Record<string, unknown> };

export interface AnswerMessage {
  id: string;
  type: 'message';
  role: 'assistant';
  model: string;
  content: AnswerBlock[];
  stop_reason: string | null;
  stop_sequence: null;
  usage: InputUsage & { output_tokens: number };
}

/** One server-sent event of the Messages API; its `event:` line repeats `data.type`. */
export interface SseEvent {
  type: string;
  [field: string]: unknown;
}

const SIGNATURE = Buffer.from('signed by the scripted upstream').toString('base64');

/**
 * The whole message, as the API returns it without streaming and as a client puts it into its history.
 *
 * @example
 * messageOf({ text: 'Hi.' }).content; // [{ type: 'text', text: 'Hi.' }]
 */
export function messageOf(answer: Answer): AnswerMessage {
  const content: AnswerBlock[] = [];
  if (answer.thinking !== undefined)
    content.push({ type: 'thinking', thinking: answer.thinking, signature: SIGNATURE });
  if (answer.text !== undefined) content.push({ type: 'text', text: answer.text });
  for (const toolUse of answer.toolUses ?? []) content.push({ type: 'tool_use', ...toolUse });

  return {
    id: answer.id ?? 'msg_01Scripted',
    type: 'message',
    role: 'assistant',
    model: answer.model ?? 'claude-sonnet-4-6',
    content,
    stop_reason: answer.stopReason ?? (answer.toolUses?.length ? 'tool_use' : 'end_turn'),
    stop_sequence: null,
    usage: {
      input_tokens: 12,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
      output_tokens: Math.ceil(JSON.stringify(content).length / 4),
      ...answer.usage,
    },
  };
}

/**
 * The same message as the API streams it (platform.claude.com/docs/en/build-with-claude/streaming): `message_start`, for
 * each block start, deltas and stop, a `ping` behind the first block's start, `message_delta`, `message_stop`.
 */
export function eventsOf(answer: Answer): SseEvent[] {
  const message = messageOf(answer);
  const blocks = message.content.flatMap((block, index) => [
    { type: 'content_block_start', index, content_block: emptied(block) },
    ...(index === 0 ? [{ type: 'ping' }] : []),
    ...deltasOf(block).map((delta) => ({ type: 'content_block_delta', index, delta })),
    { type: 'content_block_stop', index },
  ]);

  return [
    {
      type: 'message_start',
      message: { ...message, content: [], stop_reason: null, usage: { ...message.usage, output_tokens: 1 } },
    },
    ...blocks,
    {
      type: 'message_delta',
      delta: { stop_reason: message.stop_reason, stop_sequence: null },
      usage: message.usage,
    },
    { type: 'message_stop' },
  ];
}

function emptied(block: AnswerBlock): AnswerBlock {
  switch (block.type) {
    case 'thinking':
      return { type: 'thinking', thinking: '', signature: '' };
    case 'text':
      return { type: 'text', text: '' };
    case 'tool_use':
      return { ...block, input: {} };
  }
}

function deltasOf(block: AnswerBlock): SseEvent[] {
  switch (block.type) {
    case 'thinking':
      return [
        ...pieces(block.thinking).map((thinking) => ({ type: 'thinking_delta', thinking })),
        { type: 'signature_delta', signature: block.signature },
      ];
    case 'text':
      return pieces(block.text).map((text) => ({ type: 'text_delta', text }));
    case 'tool_use':
      // The API's first piece of a tool's input is always empty.
      return ['', ...pieces(JSON.stringify(block.input))].map((partial_json) => ({
        type: 'input_json_delta',
        partial_json,
      }));
  }
}

/** Pieces of 12 characters; a character outside the BMP is never split. */
function pieces(text: string): string[] {
  return text.match(/.{1,12}/gsu) ?? [];
}
