import { z } from 'zod';
import { ExchangeTrace } from './exchange-trace.ts';

const count = z.int().nonnegative();

const turn = {
  /** `<traceId>-<rootSpanId>`: names the turn everywhere. */
  turn: z.string(),
  traceId: ExchangeTrace.shape.traceId,
  rootSpanId: ExchangeTrace.shape.rootSpanId,
  origin: ExchangeTrace.shape.origin,
  profile: z.string(),
  /** What the user typed, at most 2,000 characters; null when nobody said. */
  prompt: z.string().nullable(),
  /** RFC 3339, UTC. */
  startedAt: z.string(),
};

export const TurnStarted = z.looseObject(turn);

/** From what the user typed to the answer that asks for no tool: every API call in between, subagents' included. */
export const TurnEnded = z.looseObject({
  ...turn,
  endedAt: z.string(),
  durationMs: z.number().nonnegative(),
  /**
   * The final answer's stop reason (`end_turn`, `max_tokens`, `refusal`, …), `error` with `errorType`, `interrupted`
   * when the user stopped it, `abandoned` when nothing came any more.
   */
  endReason: z.string(),
  errorType: z.string().optional(),
  /** The final answer's text, at most 16 KiB; null when there was none. */
  answer: z.string().nullable(),
  models: z.array(z.string()),
  /** API calls, by what they were for. A retry counts as a call of its own. */
  calls: z.looseObject({ main: count, subagent: count, compaction: count, retried: count, failed: count }),
  tools: z.array(z.looseObject({ name: z.string(), calls: count, errors: count })),
  /** Sums over all calls. prompt = input + cacheWrite + cacheRead. */
  tokens: z.looseObject({ prompt: count, completion: count, cacheRead: count, cacheWrite: count, total: count }),
  /** USD, by the price table of that version; null when the price of a model is not known. */
  costUsd: z.number().nonnegative().nullable(),
  prices: z.string(),
});
