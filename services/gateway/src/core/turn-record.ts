import { z } from 'zod';
import type { Sha256 } from './anchor.ts';

/** How many turns of a session are remembered: a background agent may outlive the turn that started it by a few. */
const MAX_TURNS = 8;

const traceId = z.string().regex(/^[0-9a-f]{32}$/);
const spanId = z.string().regex(/^[0-9a-f]{16}$/);

/** A turn as its session remembers it, for requests that do not name theirs. */
export const TurnRecord = z.strictObject({
  traceId,
  rootSpanId: spanId,
  /** Of the request that opened it. */
  origin: z.enum(['hook', 'client', 'gateway']),
  /** The client's own span that the opening request descends from. */
  clientSpanId: spanId.optional(),
  /** Of the message that opened it; unknown where a subagent's request was the first one seen. */
  anchor: z.string().optional(),
  /** The client's own name for it: `x-claude-code-prompt-id`, or the hook's `prompt_id`. */
  promptId: z.string().optional(),
});
export type TurnRecord = z.infer<typeof TurnRecord>;

/** Names a turn everywhere, in `loom.turn.id` and the events of the trace-grouper. */
export function turnKey({ traceId, rootSpanId }: Pick<TurnRecord, 'traceId' | 'rootSpanId'>): string {
  return `${traceId}-${rootSpanId}`;
}

/**
 * The ids of a turn that nobody named: retries, other gateways and restarts come to the same ones.
 *
 * @param session keeps two people apart who type the same
 * @param anchor of the message that opened the turn
 */
export function deriveTurn(
  session: string,
  anchor: string,
  sha256: Sha256,
): Pick<TurnRecord, 'traceId' | 'rootSpanId'> {
  const digest = sha256(`${session}\n${anchor}`);
  return { traceId: digest.slice(0, 32), rootSpanId: digest.slice(32, 48) };
}

/**
 * The turns with one more, newest first; the same list where it brings nothing new.
 *
 * @param isNewest the session is at this turn now; otherwise it is only to be known
 */
export function withTurn(turns: TurnRecord[], turn: TurnRecord, isNewest: boolean): TurnRecord[] {
  const key = turnKey(turn);
  const known = turns.find((other) => turnKey(other) === key);
  // What its first request said stays: a client's span differs with every request.
  const merged = { ...turn, ...known };
  const hasNews = !known || Object.keys(merged).length > Object.keys(known).length;
  if (!hasNews && (!isNewest || turns[0] === known)) return turns;
  if (known && !isNewest) return turns.map((other) => (other === known ? merged : other));
  const others = turns.filter((other) => other !== known);
  return (isNewest ? [merged, ...others] : [...others, merged]).slice(0, MAX_TURNS);
}
