import type { Redis } from 'ioredis';
import { reasonOf } from './redaction.ts';

/** Where a group starts in a stream that it is new to: `$` after what is there, `0` before it. */
export type Start = '$' | '0';

/** A consumer's place in the group of one stream. */
export interface Membership {
  key: string;
  group: string;
  consumer: string;
}

/** Enters a consumer, and makes the group and the stream when they do not exist; a group that exists goes on as it is. */
export async function joinGroup(redis: Redis, { key, group, consumer }: Membership, from: Start): Promise<void> {
  try {
    await redis.xgroup('CREATE', key, group, from, 'MKSTREAM');
  } catch (error) {
    if (!reasonOf(error).startsWith('BUSYGROUP')) throw error;
  }
  // Redis 7.0 enters it only with its first entry; peers have to see it before.
  await redis.xgroup('CREATECONSUMER', key, group, consumer);
}

/** Takes the consumer out of the group, unless it has something pending, which would be lost with it. */
export async function leaveGroup(redis: Redis, { key, group, consumer }: Membership): Promise<void> {
  const pending = await redis.xpending(key, group, '-', '+', 1, consumer);
  if (pending.length === 0) await redis.xgroup('DELCONSUMER', key, group, consumer);
}

/** How far a group is behind: entries that it was not given yet, and those that it has not settled. */
export interface Standing {
  lag: number;
  pending: number;
}

/** Undefined for a group that the stream does not have. Rejects when there is no such stream. */
export async function standingOf(redis: Redis, key: string, group: string): Promise<Standing | undefined> {
  const groups = (await redis.xinfo('GROUPS', key)) as unknown[][];
  // Each is a flat list of names and values.
  const member = (fields: unknown[], name: string) => fields[fields.indexOf(name) + 1];
  const own = groups.find((fields) => member(fields, 'name') === group);
  return own && { lag: Number(member(own, 'lag') ?? 0), pending: Number(member(own, 'pending')) };
}

/** The names of the other consumers, alive or not. */
export async function peersOf(redis: Redis, { key, group, consumer }: Membership): Promise<string[]> {
  const consumers = (await redis.xinfo('CONSUMERS', key, group)) as unknown[][];
  // Each is a flat list of names and values.
  return consumers.map((fields) => String(fields[fields.indexOf('name') + 1])).filter((name) => name !== consumer);
}
