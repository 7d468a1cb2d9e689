import type { Redis } from 'ioredis';

/** An entry of a stream as it was given to a consumer. */
export interface Entry {
  key: string;
  id: string;
  /** Names and values in turn. */
  fields: string[];
  /** How often it was given to anybody, this time included: 1 for a new entry. */
  deliveries: number;
}

export interface Claim {
  key: string;
  group: string;
  consumer: string;
  /** Since when nobody may have touched it, milliseconds. */
  idleMs: number;
  /** Only what this consumer has itself. */
  own: boolean;
  /** Entries that are to be left where they are. */
  except: (id: string) => boolean;
  /** How many to take at once; waits for room, 0 ends the claim. */
  room: () => Promise<number>;
}

/** Pending entries that no longer exist: the stream was trimmed past them. */
export interface Trimmed {
  key: string;
  trimmed: string[];
}

/**
 * Takes over pending entries of a group, oldest first. XPENDING before XCLAIM, because XAUTOCLAIM of Redis 7.0 does not
 * say how often an entry was delivered.
 */
export async function* claimPending(redis: Redis, claim: Claim): AsyncGenerator<Entry | Trimmed> {
  const { key, group, consumer, idleMs } = claim;
  for (let from = '-'; ; ) {
    const count = await claim.room();
    if (count === 0) return;
    const range = [key, group, 'IDLE', idleMs, from, '+', count] as const;
    const pending = (await (claim.own ? redis.xpending(...range, consumer) : redis.xpending(...range))) as Pending[];
    const deliveries = new Map(pending.map(([id, , , times]) => [id, times + 1]));
    const ids = [...deliveries.keys()].filter((id) => !claim.except(id));
    if (ids.length > 0) {
      const claimed = (await redis.xclaim(key, group, consumer, idleMs, ...ids)) as [string, string[]][];
      for (const [id, fields] of claimed) yield { key, id, fields, deliveries: deliveries.get(id) ?? 1 };
      const taken = new Set(claimed.map(([id]) => id));
      const trimmed = await findTrimmed(
        redis,
        key,
        ids.filter((id) => !taken.has(id)),
      );
      if (trimmed.length > 0) yield { key, trimmed };
    }
    const last = pending.at(-1);
    if (!last || pending.length < count) return;
    from = `(${last[0]}`;
  }
}

type Pending = [id: string, consumer: string, idleMs: number, deliveries: number];

/** What was not given to us either went to another consumer, and still exists, or does not exist any more. */
async function findTrimmed(redis: Redis, key: string, ids: string[]): Promise<string[]> {
  const found = await Promise.all(ids.map((id) => redis.xrange(key, id, id)));
  return ids.filter((_, at) => found[at]?.length === 0);
}
