import { z } from 'zod';
import { EventData } from './event.ts';

const milliseconds = z.number().nonnegative();
const count = z.int().nonnegative();

/** A span of a turn, as a person wants to see it. Nothing of the conversation is in here. */
export const SummarySpan = z.looseObject({
  name: z.string(),
  /** internal, server, client, producer or consumer. */
  kind: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().optional(),
  /** Unix time, milliseconds. */
  startedAt: milliseconds,
  endedAt: milliseconds,
  status: z.enum(['unset', 'ok', 'error']),
  /** A few words: `retry of …`, `inferred`. */
  note: z.string().optional(),
  /** prompt = input + cacheWrite + cacheRead. */
  tokens: z.looseObject({ prompt: count, completion: count, cacheRead: count, cacheWrite: count }).optional(),
  costUsd: z.number().nonnegative().optional(),
  /** What rewriters did: `compact-rewriter applied 2`. */
  edits: z.array(z.string()).optional(),
  errorType: z.string().optional(),
});
export type SummarySpan = z.infer<typeof SummarySpan>;

/**
 * The last turn of a session with its spans: JSON in `<prefix>:last-turn:<session>`, for 7 days. The sessions that have
 * one are the members of the sorted set `<prefix>:last-turns`, by the turn's end in Unix milliseconds.
 */
export const TurnSummary = z.looseObject({
  session: z.string(),
  turn: EventData['turn.ended'],
  spans: z.array(SummarySpan),
});
export type TurnSummary = z.infer<typeof TurnSummary>;

/** How long a session's last turn is kept, seconds. */
export const LAST_TURN_KEEP_S = 7 * 24 * 3_600;

/** How many sessions `<prefix>:last-turns` names at most. */
export const MAX_LAST_TURNS = 1_000;
