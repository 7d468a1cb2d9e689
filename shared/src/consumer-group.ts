import type { Redis } from 'ioredis';
import { reasonOf } from './redaction.ts';

/** Where a group starts in a stream that it is new to: `$` after what is there, `0` before it. */
export type Start = '$' | '0';

/** Makes the group, and the stream when it does not exist; a group that exists stays as it is. */
export async function createGroup(redis: Redis, key: string, group: string, from: Start): Promise<void> {
  try {
    await redis.xgroup('CREATE', key, group, from, 'MKSTREAM');
  } catch (error) {
    if (!reasonOf(error).startsWith('BUSYGROUP')) throw error;
  }
}

/** Takes the consumer out of the group, unless it has something pending, which would be lost with it. */
export async function leaveGroup(redis: Redis, key: string, group: string, consumer: string): Promise<void> {
  const pending = await redis.xpending(key, group, '-', '+', 1, consumer);
  if (pending.length === 0) await redis.xgroup('DELCONSUMER', key, group, consumer);
}

/** Whether another consumer of the group asked for entries within the last `withinMs`. */
export async function hasPeers(
  redis: Redis,
  { key, group, consumer, withinMs }: { key: string; group: string; consumer: string; withinMs: number },
): Promise<boolean> {
  const consumers = (await redis.xinfo('CONSUMERS', key, group)) as (string | number)[][];
  // Each is a flat list of names and values.
  const fieldOf = (fields: (string | number)[], name: string) => fields[fields.indexOf(name) + 1];
  return consumers.some((fields) => fieldOf(fields, 'name') !== consumer && Number(fieldOf(fields, 'idle')) < withinMs);
}
