import type { CapturedMessage, ContentBlock } from '@loom/shared/event.ts';
import { cutJson, cutText, jsonBytes, MAX_ATTRIBUTE_BYTES, MAX_TEXT_BYTES, newest } from './limits.ts';

/** A part of a message, as OpenTelemetry's GenAI conventions write it. */
export type Part =
  | { type: 'text' | 'reasoning'; content: string }
  | { type: 'tool_call'; id: string; name: string; arguments: unknown }
  | { type: 'tool_call_response'; id: string; response: string; is_error?: true }
  | { type: 'uri'; modality: 'image'; mime_type: string; uri: string };

/** A message as GenAI conventions write it; an answer says why it ended. */
export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  parts: Part[];
  finish_reason?: string;
}

/**
 * The messages of a request. Each tool result becomes a message of its own: of several in one message, Phoenix shows
 * the last alone, and drops the text beside it.
 *
 * @example
 * inputMessages([{ role: 'user', content: [{ type: 'text', text: 'hi' }] }]);
 * // [{ role: 'user', parts: [{ type: 'text', content: 'hi' }] }]
 */
export function inputMessages(captured: readonly CapturedMessage[]): Message[] {
  return captured.flatMap(({ role, content }) => {
    const messages: Message[] = [];
    for (const part of content.flatMap(partsOf)) {
      const last = messages.at(-1);
      if (part.type === 'tool_call_response') messages.push({ role: 'tool', parts: [part] });
      else if (last && last.role !== 'tool') last.parts.push(part);
      else messages.push({ role: roleOf(role), parts: [part] });
    }
    return messages;
  });
}

/** The answer, as a list of one message; an empty list where it has no content. */
export function outputMessages(captured: readonly ContentBlock[], stopReason: string | null): Message[] {
  const parts = captured.flatMap(partsOf);
  return parts.length > 0 ? [{ role: 'assistant', parts, finish_reason: finishReason(stopReason) }] : [];
}

/** The parts of content blocks; a block that nobody can read, such as encrypted thinking, has none. */
export function partsOf(block: ContentBlock): Part[] {
  const { type } = block;
  if (type === 'text') return textPart('text', block['text']);
  if (type === 'thinking') return textPart('reasoning', block['thinking']);
  if (type === 'redacted_thinking') return [];
  if (type === 'tool_use' || type === 'server_tool_use') {
    const input = cutJson(block['input'] ?? {}, MAX_TEXT_BYTES);
    return [{ type: 'tool_call', id: nameIn(block, 'id'), name: nameIn(block, 'name'), arguments: input }];
  }
  if (type === 'tool_result') {
    const response = resultText(block['content']);
    const failed = block['is_error'] === true && { is_error: true as const };
    return [{ type: 'tool_call_response', id: nameIn(block, 'tool_use_id'), response, ...failed }];
  }
  const hash = block['sha256'];
  if (type === 'image' && typeof hash === 'string') {
    const uri = `sha256:${cutText(hash, MAX_NAME_BYTES)}`;
    return [{ type: 'uri', modality: 'image', mime_type: nameIn(block, 'media_type'), uri }];
  }
  return [{ type: 'text', content: `[${cutText(type, MAX_NAME_BYTES)}]` }];
}

/** What a tool gave back, as one text. */
export function resultText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((block) => (typeof block?.text === 'string' ? block.text : `[${block?.type}]`)).join('\n');
}

/** Messages as the value of an attribute. */
export interface MessageList {
  /** Undefined for no messages. */
  json: string | undefined;
  /** Messages that found no room, from the oldest on. */
  omitted: number;
  /** Whether anything was left out or cut. */
  truncated: boolean;
}

/**
 * Writes messages as JSON of at most so many bytes, valid however much is cut: long texts inside, then the oldest
 * messages, then the oldest parts of the only one that is left.
 *
 * @example
 * messageList([{ role: 'user', parts: [{ type: 'text', content: 'hi' }] }]).json;
 */
export function messageList(messages: readonly Message[], maxBytes = MAX_ATTRIBUTE_BYTES): MessageList {
  const kept = newest(messages, maxBytes, (message) => {
    const room = maxBytes - jsonBytes([{ ...message, parts: [] }]);
    return { ...message, parts: newest(message.parts, room, cutPart) };
  });
  const json = JSON.stringify(kept);
  return {
    json: kept.length > 0 ? json : undefined,
    omitted: messages.length - kept.length,
    truncated: kept.length < messages.length || json !== JSON.stringify(messages),
  };
}

const MAX_NAME_BYTES = 256;
const MAX_PART_BYTES = 20_000;

/** Cuts a part by its JSON: a text of control characters has six times its bytes there. */
export function cutPart(part: Part): Part {
  return cutJson(part, MAX_PART_BYTES) as Part;
}

function textPart(type: 'text' | 'reasoning', content: unknown): Part[] {
  return typeof content === 'string' && content !== '' ? [{ type, content }] : [];
}

function nameIn(block: ContentBlock, field: string): string {
  return cutText(String(block[field] ?? ''), MAX_NAME_BYTES);
}

function roleOf(role: string): Message['role'] {
  return role === 'assistant' || role === 'system' ? role : 'user';
}

const FINISH_REASONS: Record<string, string> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool_call',
  refusal: 'content_filter',
};

/** As the conventions call it; one of the API's own passes through, and an answer without an end is an error. */
function finishReason(stopReason: string | null): string {
  return stopReason === null ? 'error' : (FINISH_REASONS[stopReason] ?? stopReason);
}
