import type { Redis } from 'ioredis';
import { findEvent, parsedOr } from '../core/entry.ts';
import { type GroupStatus, type Replica, type Status, type StreamStatus, tallyAlerts } from '../core/status.ts';
import { readClock } from './clock.ts';
import { scan } from './scan.ts';

const HOUR_MS = 3_600_000;

/** Asks Redis how Loom does. Nothing is changed, and Redis is never held up: SCAN, not KEYS. */
export async function readStatus(redis: Redis, prefix: string): Promise<Status> {
  const at = await readClock(redis);
  const key = (name: string) => `${prefix}:${name}`;
  const nameOf = (found: string) => found.slice(prefix.length + 1);

  const found = await readReplicas(redis, key('service:'));
  const replicas = found.map(({ openBreakers: _, ...replica }) => replica);
  const declared = await redis.hkeys(key('rewriters'));
  const present = new Set(replicas.map(({ service }) => service));
  // BullMQ keeps streams of its own below the prefix.
  const names = (await scan(redis, key('*'), 'stream')).map(nameOf).filter((name) => !name.startsWith('bull:'));
  const alerts = await redis.xrange(key('alerts'), `${at - HOUR_MS}`, '+');
  return {
    at,
    replicas,
    absentRewriters: declared.filter((name) => !present.has(name)).sort(),
    openBreakers: found.flatMap(({ replica, openBreakers }) =>
      openBreakers.map((rewriter) => ({ rewriter, gateway: replica })),
    ),
    streams: await Promise.all(names.map((name) => readStream(redis, key(name), name, at))),
    deadLetters: await redis.xlen(key('dead-letters')),
    alerts: tallyAlerts(alerts.flatMap(([id, fields]) => findEvent({ key: key('alerts'), id, fields }) ?? [])),
    memory: await readMemory(redis),
  };
}

/** What a replica's key holds. */
type Said = Partial<Replica & { openBreakers: string[] }>;

async function readReplicas(redis: Redis, start: string): Promise<(Replica & { openBreakers: string[] })[]> {
  const keys = await scan(redis, `${start}*`, 'string');
  const values = keys.length > 0 ? await redis.mget(...keys) : [];
  return keys.flatMap((key, at) => {
    // It may have lapsed since it was found.
    const said = parsedOr(values[at] ?? 'null') as Said | null;
    if (said === null || typeof said !== 'object') return [];
    const [service = '', ...replica] = key.slice(start.length).split(':');
    const { since = '', handled = 0, failed = 0, deadLettered = 0, memoryBytes = null, openBreakers = [] } = said;
    return [{ service, replica: replica.join(':'), since, handled, failed, deadLettered, memoryBytes, openBreakers }];
  });
}

async function readStream(redis: Redis, key: string, name: string, now: number): Promise<StreamStatus> {
  const groups = ((await redis.xinfo('GROUPS', key)) as unknown[][]).map((fields) => {
    // A flat list of names and values.
    const fieldOf = (field: string) => fields[fields.indexOf(field) + 1];
    return {
      name: String(fieldOf('name')),
      lag: fieldOf('lag') === null ? null : Number(fieldOf('lag')),
      pending: Number(fieldOf('pending')),
      last: String(fieldOf('last-delivered-id')),
    };
  });
  const read = groups.map(async ({ last, ...group }): Promise<GroupStatus> => {
    const [oldest] = await redis.xrange(key, `(${last}`, '+', 'COUNT', 1);
    return { ...group, oldestUnreadMs: oldest ? Math.max(0, now - Number.parseInt(oldest[0], 10)) : null };
  });
  return { name, length: await redis.xlen(key), groups: await Promise.all(read) };
}

async function readMemory(redis: Redis): Promise<Status['memory']> {
  const report = await redis.info('memory');
  const numberOf = (field: string) => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(report)?.[1] ?? 0);
  return {
    usedBytes: numberOf('used_memory'),
    maxBytes: numberOf('maxmemory'),
    residentBytes: numberOf('used_memory_rss'),
  };
}
