import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Entry } from '../core/entry.ts';
import { mergeBatches } from '../core/merge.ts';
import { idOf, type Since } from '../core/since.ts';
import { readClock } from './clock.ts';

export interface FollowOptions {
  /** The streams' keys; asked for again every 2 s, and a stream that is new then is read from its start. */
  keys: () => string[] | Promise<string[]>;
  /** Default: from now on. */
  since?: Since | undefined;
}

const BLOCK_MS = 2_000;
const COUNT = 100;

/** Reads the entries of streams as they come, oldest first, for ever; over an outage it goes on where it was. */
export async function* follow(redis: Redis, { keys, since }: FollowOptions): AsyncGenerator<Entry> {
  const start = since && idOf(since, await readClock(redis));
  const last = new Map<string, string>();
  for (const key of await keys()) last.set(key, start ?? (await newestId(redis, key)));

  for (let asked = performance.now(); ; ) {
    if (performance.now() - asked > BLOCK_MS) {
      for (const key of await keys()) if (!last.has(key)) last.set(key, start ?? '0-0');
      asked = performance.now();
    }
    if (last.size === 0) {
      await delay(BLOCK_MS);
      continue;
    }
    const places = [...last.keys(), ...last.values()];
    const answer = await redis.xread('COUNT', COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', ...places);
    const batches = (answer ?? []).map(([key, entries]) => entries.map(([id, fields]) => ({ key, id, fields })));
    for (const entry of mergeBatches(batches, COUNT)) {
      yield entry;
      last.set(entry.key, entry.id);
    }
  }
}

async function newestId(redis: Redis, key: string): Promise<string> {
  const [newest] = await redis.xrevrange(key, '+', '-', 'COUNT', 1);
  return newest?.[0] ?? '0-0';
}
