import { expect } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { normalisedMessages } from '@loom/shared/testing/prompt-cache.ts';
import type { RequestBody } from '@loom/shared/testing/upstream.ts';
import type { Exchange } from './talk.ts';

export interface Block {
  type: string;
  text?: string;
}

export interface Message {
  role: string;
  content: string | Block[];
}

const SUBVOX = /^<subvox>\nIntro surfaced these moments\. Store what lands, let the rest go:\n([\s\S]*)\n<\/subvox>$/;
/** 2.0.76 says this of a hook that answers with JSON, in a block of its own: the client's words, and they stay. */
const SUCCESS = '<system-reminder>\nUserPromptSubmit hook success: Success\n</system-reminder>';

/**
 * Fails unless the upstream got what the client would have sent without Loom's hook, memorables aside, and everything
 * around the messages byte for byte as it was sent.
 */
export function expectOnlyMetadataCut({ sent, plain, forwarded }: Exchange): void {
  expect(forwarded.body.includes(CANARY)).toBe(false);
  const messages = messagesOf(forwarded.json());
  const others = messages.map((message) => withoutBlocks(message, (text) => text !== SUCCESS && !SUBVOX.test(text)));
  expect(normalisedMessages({ messages: others })).toEqual(normalisedMessages(bodyOf(plain.body)));
  expect(forwarded.body.toString()).toBe(JSON.stringify({ ...bodyOf(sent.body), messages }));
}

/**
 * Fails unless what went upstream before is the beginning of what goes now, for the cache and byte for byte.
 *
 * @param forgotten texts of blocks that the client itself no longer sends
 */
export function expectKeptPrefix(before: Exchange, now: Exchange, forgotten: string[] = []): void {
  const remembered = (message: Message) => withoutBlocks(message, (text) => !forgotten.includes(text));
  const [old, next] = [before, now].map(({ forwarded }) => messagesOf(forwarded.json()).map(remembered));
  const [oldPlain, nextPlain] = [before, now].map(({ plain }) => messagesOf(bodyOf(plain.body)));
  const prefix = normalisedMessages({ messages: old });
  expect(normalisedMessages({ messages: next }).slice(0, prefix.length)).toEqual(prefix);

  // The body's bytes are those of its JSON, so a message's bytes are those of its own.
  expect(now.forwarded.body.toString()).toBe(JSON.stringify(now.forwarded.json()));
  for (const [index, message] of (old ?? []).entries()) {
    const again = next?.[index];
    if (typeof message.content === typeof again?.content) expect(unmarked(again)).toBe(unmarked(message));
    // The same message as a string and as a list: then it is the client that writes it so.
    else expect(unmarked(nextPlain?.[index])).not.toBe(unmarked(oldPlain?.[index]));
  }
}

/** Fails unless the prompt cache gives back all that the request before had brought into it. */
export function expectCacheRead(before: Exchange, now: Exchange): void {
  const { cache_read_input_tokens: read, cache_creation_input_tokens: written } = before.forwarded.usage();
  expect(now.forwarded.usage().cache_read_input_tokens).toBeGreaterThanOrEqual(read + written);
}

/** Fails unless each of these exchanges keeps what the one before it sent, and reads it from the cache. */
export function expectKeptThroughout(exchanges: Exchange[]): void {
  for (const [index, now] of exchanges.entries()) {
    const before = exchanges[index - 1];
    if (!before) continue;
    expectKeptPrefix(before, now);
    expectCacheRead(before, now);
  }
}

/** The memorables of a request by the prompt that they stand behind, in the order of the conversation. */
export function memorablesOf({ forwarded }: Exchange): [prompt: string, items: string[]][] {
  return messagesOf(forwarded.json()).flatMap((message) => {
    const texts = textsOf(message);
    return texts.flatMap((text, index): [string, string[]][] => {
      const items = SUBVOX.exec(text)?.[1];
      return items === undefined ? [] : [[texts[index - 1] ?? '', items.split('\n').map((line) => line.slice(2))]];
    });
  });
}

export function bodyOf(body: Buffer): RequestBody {
  return JSON.parse(body.toString()) as RequestBody;
}

export function messagesOf(body: RequestBody): Message[] {
  return (body.messages ?? []) as Message[];
}

export function textsOf({ content }: Message): string[] {
  return typeof content === 'string' ? [content] : content.flatMap(({ text }) => text ?? []);
}

function withoutBlocks(message: Message, keeps: (text: string) => boolean): Message {
  if (typeof message.content === 'string') return message;
  return { ...message, content: message.content.filter(({ text }) => text === undefined || keeps(text)) };
}

function unmarked(message: Message | undefined): string {
  return JSON.stringify(message, (key, value) => (key === 'cache_control' ? undefined : value));
}
