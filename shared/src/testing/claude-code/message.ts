import type { Release } from './release.ts';

export interface Block {
  type: string;
  text?: string;
  [field: string]: unknown;
}

/** A message of the simulated conversation; content is always a list here. */
export interface Message {
  role: 'user' | 'assistant' | 'system';
  content: Block[];
  output_config?: { effort: string };
  /** Sent as a string even as the last message; the message before it then bears the cache mark. */
  plain?: boolean;
}

export interface WireMessage {
  role: string;
  content: string | Block[];
  output_config?: { effort: string };
}

export const CACHE_MARK = { cache_control: { type: 'ephemeral' } };

export const textBlock = (text: string): Block => ({ type: 'text', text });

export const userMessage = (...texts: string[]): Message => ({ role: 'user', content: texts.map(textBlock) });

/** Role-system messages carry the effort at message level. */
export const systemMessage = (...texts: string[]): Message => ({
  role: 'system',
  content: texts.map(textBlock),
  output_config: { effort: 'high' },
});

/** Neighbours of the role `user` become one message, as the client makes them before it sends. */
export function merged(messages: Message[]): Message[] {
  const list: Message[] = [];
  for (const message of messages) {
    const before = list.at(-1);
    if (before?.role === 'user' && message.role === 'user')
      list[list.length - 1] = { ...before, content: [...before.content, ...message.content] };
    else list.push(message);
  }
  return list;
}

/**
 * Writes messages as the release sends them: cache marks on the newest ones only, so that they move with each request,
 * and a lone text that is no longer marked as a string where the release does so.
 */
export function wired(messages: Message[], release: Release): WireMessage[] {
  const marked = markedIn(messages, release);
  return messages.map(({ role, content, output_config, plain }) => {
    const message = { role, content: [...content], ...(output_config && { output_config }) };
    const last = content.at(-1);
    if (last && marked.has(content)) message.content[content.length - 1] = { ...last, ...CACHE_MARK };
    else if (
      plain ||
      (release.plainHistory && role !== 'assistant' && content.length === 1 && last?.text !== undefined)
    )
      return { ...message, content: last?.text ?? '' };
    return message;
  });
}

function markedIn(messages: Message[], release: Release): Set<Block[] | undefined> {
  const candidates = messages.filter(({ plain }) => !plain);
  if (!release.marksBothRoles) return new Set([candidates.at(-1)?.content]);
  return new Set(['user', 'assistant'].map((role) => candidates.findLast((message) => message.role === role)?.content));
}
