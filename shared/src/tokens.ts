import type { Usage } from './event.ts';

/** What an answer was billed for. Whole numbers; `prompt` includes both caches, `total` is prompt + completion. */
export interface Tokens {
  prompt: number;
  completion: number;
  total: number;
  /** Of the prompt, outside the caches. */
  input: number;
  cacheRead: number;
  cacheWrite: number;
  /** The two kinds of `cacheWrite`. */
  cacheWrite5m: number;
  cacheWrite1h: number;
  /** Of the completion, spent on thinking; absent where the API does not say. */
  reasoning?: number;
}

/**
 * Counts the tokens of an answer. The API's `input_tokens` leaves the caches out; backends expect them in the prompt
 * (OpenInference: `prompt_details` are parts of `prompt`), and book whatever `total` has beyond both as completion.
 *
 * @example
 * tokensOf({ input_tokens: 3, cache_read_input_tokens: 900, output_tokens: 20 }).prompt; // 903
 */
export function tokensOf(usage: Usage): Tokens {
  const input = count(usage.input_tokens);
  const completion = count(usage.output_tokens);
  const cacheRead = count(usage.cache_read_input_tokens);
  const cacheWrite1h = count(field(usage['cache_creation'], 'ephemeral_1h_input_tokens'));
  const split = count(field(usage['cache_creation'], 'ephemeral_5m_input_tokens')) + cacheWrite1h;
  const cacheWrite = Math.max(count(usage.cache_creation_input_tokens), split);
  const prompt = input + cacheWrite + cacheRead;
  const reasoning = field(usage['output_tokens_details'], 'thinking_tokens');
  return {
    prompt,
    completion,
    total: prompt + completion,
    input,
    cacheRead,
    cacheWrite,
    // Writes that are of no declared kind are of the default one.
    cacheWrite5m: cacheWrite - cacheWrite1h,
    cacheWrite1h,
    ...(typeof reasoning === 'number' && { reasoning: count(reasoning) }),
  };
}

/** A field of the API's that may be absent, null or of another type in a release to come. */
export function field(holder: unknown, name: string): unknown {
  return typeof holder === 'object' && holder !== null ? (holder as Record<string, unknown>)[name] : undefined;
}

/** A count as the API gives it; 0 for anything else. */
export function count(value: unknown): number {
  return typeof value === 'number' && value > 0 && Number.isFinite(value) ? Math.round(value) : 0;
}
