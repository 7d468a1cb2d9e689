import type { connectRedis } from '@loom/shared/connection.ts';
import { decodeEvent } from '@loom/shared/event.ts';

/**
 * Counts what became of the questions to rewriters, in sessions whose names begin so, by outcome.
 *
 * `applied`, `none`, `error` and `refused` were answered; with every other outcome nobody answered in time.
 *
 * @example
 * await countOutcomes(redis, 'load-'); // { applied: 800, late: 1 }
 */
export async function countOutcomes(
  redis: ReturnType<typeof connectRedis>,
  sessions: string,
): Promise<Record<string, number>> {
  const events = (await redis.xrange('loom:responses', '-', '+')).map(([, fields]) => decodeEvent(fields));
  const once = new Map(events.map((event) => [event.id, event]));
  const counts: Record<string, number> = {};
  for (const event of once.values()) {
    if (event.type !== 'request.forwarded' || !event.subject.startsWith(sessions)) continue;
    for (const { outcome } of event.data.edits) counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}
