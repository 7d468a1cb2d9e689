import { createHash } from 'node:crypto';

/** How the API bills the input of a request, tokens. */
export interface InputUsage {
  input_tokens: number;
  cache_creation_input_tokens: number;
  cache_read_input_tokens: number;
}

/** The parts of a request body that the cache looks at. */
interface Cacheable {
  model?: unknown;
  tools?: unknown;
  system?: unknown;
  messages?: unknown;
}

/** A tool, a block or a message. */
interface Part {
  type?: unknown;
  text?: unknown;
  role?: unknown;
  content?: unknown;
}

/** The API looks for an earlier entry at a breakpoint and at the 19 blocks before it. */
const LOOK_BACK_BLOCKS = 20;

/**
 * A model of the API's prompt cache (platform.claude.com/docs/en/build-with-claude/prompt-caching). An entry is written at each block with
 * `cache_control`; a later request reads the longest entry that equals its own beginning, in the order tools, system,
 * messages. String content counts as a list of one text block. Four bytes are one token; no minimum length, no expiry.
 *
 * @example
 * cache.record(body); // { input_tokens: 0, cache_creation_input_tokens: 5210, cache_read_input_tokens: 0 }
 * cache.record(body); // { input_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 5210 }
 */
export class PromptCache {
  readonly #entries = new Set<string>();

  /** Bills a request body and remembers its prefixes, as the API does when it accepts a request. */
  record(body: unknown): InputUsage {
    const blocks = blocksOf(asObject(body));
    const prefixes = chain(String(asObject(body).model), blocks);
    const breakpoints = blocks.flatMap((block, index) => (block.marked ? [index] : []));

    const read = Math.max(-1, ...breakpoints.map((breakpoint) => this.#longestEntry(prefixes, breakpoint)));
    const written = breakpoints.at(-1) ?? -1;
    for (const breakpoint of breakpoints) this.#entries.add(prefixes[breakpoint] as string);

    return {
      input_tokens: tokens(blocks.slice(written + 1)),
      cache_creation_input_tokens: tokens(blocks.slice(read + 1, written + 1)),
      cache_read_input_tokens: tokens(blocks.slice(0, read + 1)),
    };
  }

  #longestEntry(prefixes: string[], breakpoint: number): number {
    const oldest = Math.max(0, breakpoint - LOOK_BACK_BLOCKS + 1);
    for (let index = breakpoint; index >= oldest; index -= 1)
      if (this.#entries.has(prefixes[index] as string)) return index;
    return -1;
  }
}

/**
 * Each message as the cache sees it: `cache_control` removed, string content as a list of one text block. One request's
 * prefix is kept by the next one when its list begins with the other's.
 */
export function normalisedMessages(body: unknown): string[] {
  return asList(asObject(body).messages).map((message) =>
    canonical({ ...message, content: asBlocks(message.content) }),
  );
}

interface CachedBlock {
  text: string;
  marked: boolean;
}

function blocksOf(body: Cacheable): CachedBlock[] {
  const cached = (place: string) => (block: Part) => ({
    text: `${place} ${canonical(block)}`,
    marked: 'cache_control' in block,
  });
  return [
    ...asList(body.tools).map(cached('tool')),
    ...asBlocks(body.system).filter(isPrompt).map(cached('system')),
    ...asList(body.messages).flatMap((message) =>
      asBlocks(message.content).map((block, index) => cached(`${message.role} ${index}`)(block)),
    ),
  ];
}

/** The client's attribution block changes with the body; the API takes it off before it looks. */
function isPrompt({ text }: Part): boolean {
  return !String(text).startsWith('x-anthropic-billing-header:');
}

/** One hash a block, over everything up to it; caches are never shared between models. */
function chain(model: string, blocks: CachedBlock[]): string[] {
  let prefix = model;
  return blocks.map(({ text }) => {
    prefix = createHash('sha256').update(prefix).update(text).digest('hex');
    return prefix;
  });
}

function tokens(blocks: CachedBlock[]): number {
  return blocks.reduce((sum, { text }) => sum + Math.ceil(Buffer.byteLength(text) / 4), 0);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (key, member) => (key === 'cache_control' ? undefined : member));
}

function asBlocks(content: unknown): Part[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : asList(content);
}

function asList(value: unknown): Part[] {
  return Array.isArray(value) ? value : [];
}

function asObject(value: unknown): Cacheable {
  return typeof value === 'object' && value !== null ? value : {};
}
