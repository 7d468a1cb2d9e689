import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KEEP } from '@loom/shared/event.ts';
import type { RedisServer } from '@loom/shared/testing/redis.ts';
import type { Probed } from './probe.ts';
import type { Point } from './trend.ts';

/** A connection. */
export type Redis = ReturnType<RedisServer['client']>;

const MEGABYTE = 1_048_576;
const SCAN_COUNT = 1_000;
const BATCH = 500;

/** What is measured again and again, and how it is judged. */
export interface Series {
  name: string;
  unit: string;
  points: Point[];
  /** How much it may move over the measured time, and by which part of itself; undefined: it is only shown. */
  tolerance?: { fixed: number; part: number };
  /** Judged from this part of the time on, where it takes longer than others to settle. */
  settledAt?: number;
  /** It may grow up to here. */
  bound?: number;
}

/** All series of a soak, by name; a point begins one. */
export class Samples {
  readonly series = new Map<string, Series>();
  readonly #startedMs = performance.now();

  get elapsedS(): number {
    return (performance.now() - this.#startedMs) / 1_000;
  }

  add(name: string, unit: string, value: number, judged: Pick<Series, 'tolerance' | 'settledAt' | 'bound'> = {}): void {
    let series = this.series.get(name);
    if (!series) {
      series = { name, unit, points: [], ...judged };
      this.series.set(name, series);
    }
    series.points.push({ s: this.elapsedS, value });
  }

  /** The newest value of a series. */
  last(name: string): number {
    return this.series.get(name)?.points.at(-1)?.value ?? Number.NaN;
  }

  /** Measures a service from outside and by its probe; a process that has just ended is passed over. */
  process(service: string, pid: number, probes: string): void {
    let descriptors: number;
    let probed: Probed;
    try {
      descriptors = readdirSync(`/proc/${pid}/fd`).length;
      probed = JSON.parse(readFileSync(join(probes, `${pid}.json`), 'utf8')) as Probed;
    } catch {
      // It has ended, or has not written yet: the next time tells.
      return;
    }
    const { liveBytes, rssBytes, heapBytes, resources, loopMs } = probed;
    // V8 gives its heap more room than it needs, up to twice what lives, and takes minutes for that.
    this.add(`${service}: memory`, 'MB', rssBytes / MEGABYTE, { tolerance: { fixed: 6, part: 0.08 }, settledAt: 0.7 });
    this.add(`${service}: memory beside the heap`, 'MB', (rssBytes - heapBytes) / MEGABYTE, {
      tolerance: { fixed: 6, part: 0.08 },
    });
    this.add(`${service}: live objects`, 'MB', liveBytes / MEGABYTE, { tolerance: { fixed: 2, part: 0.04 } });
    this.add(`${service}: descriptors`, '', descriptors, { tolerance: { fixed: 3, part: 0 } });
    this.add(`${service}: timers and handles`, '', resources, { tolerance: { fixed: 3, part: 0 } });
    this.add(`${service}: event loop`, 'ms', loopMs, { tolerance: { fixed: 20, part: 0 } });
  }

  /**
   * Measures what Redis holds: streams, which grow up to their bounds; keys of sessions, which expire; and what is
   * neither, which must not grow at all.
   */
  async redis(client: Redis, prefix: string): Promise<KeyFamily[]> {
    const info = await client.info();
    const number = (field: string) => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1]);
    const keys = await keysOf(client);
    const families = familiesOf(keys);
    const bytes = (of: Key[]) => of.reduce((sum, key) => sum + key.bytes, 0);
    const streams = keys.filter(({ length }) => length !== undefined);
    const expiring = keys.filter(({ ttlS, length }) => length === undefined && ttlS >= 0);
    const lasting = keys.filter(({ ttlS, length }) => length === undefined && ttlS < 0);
    const used = number('used_memory');
    const rest = used - bytes(streams) - bytes(expiring);

    this.add('redis: memory', 'MB', used / MEGABYTE);
    this.add('redis: memory of streams', 'MB', bytes(streams) / MEGABYTE);
    this.add('redis: memory of keys that expire', 'MB', bytes(expiring) / MEGABYTE);
    this.add('redis: memory of all else', 'MB', rest / MEGABYTE, { tolerance: { fixed: 2, part: 0.05 } });
    this.add('redis: keys that expire', '', expiring.length);
    this.add('redis: keys that stay', '', lasting.length, { tolerance: { fixed: 3, part: 0 } });
    this.add('redis: connections', '', number('connected_clients'), { tolerance: { fixed: 3, part: 0 } });
    for (const { name, length } of streams) {
      const stream = name.slice(prefix.length + 1).replace(/^edits:.*/, 'edits');
      const keep = KEEP[stream as keyof typeof KEEP];
      // `MAXLEN ~` cuts whole nodes.
      if (keep !== undefined) this.add(`stream ${stream}`, 'entries', length as number, { bound: keep * 1.1 + 200 });
    }
    return families;
  }
}

interface Key {
  name: string;
  /** -1: it stays. */
  ttlS: number;
  bytes: number;
  /** Of a stream. */
  length: number | undefined;
}

/** Keys that differ in ids alone. */
export interface KeyFamily {
  pattern: string;
  count: number;
  bytes: number;
  /** How many of them never expire; of the others the longest time that is left, seconds. */
  staying: number;
  maxTtlS: number;
}

async function keysOf(client: Redis): Promise<Key[]> {
  const names = new Set<string>();
  for (let cursor = '0'; ; ) {
    const [next, found] = await client.scan(cursor, 'COUNT', SCAN_COUNT);
    for (const name of found) names.add(name);
    cursor = next;
    if (next === '0') break;
  }
  const keys: Key[] = [];
  const all = [...names];
  for (let from = 0; from < all.length; from += BATCH) {
    const batch = all.slice(from, from + BATCH);
    const pipeline = client.pipeline();
    for (const name of batch) pipeline.ttl(name).memory('USAGE', name).type(name);
    const replies = (await pipeline.exec())?.map(([, reply]) => reply) ?? [];
    for (const [index, name] of batch.entries()) {
      const [ttlS, bytes, type] = replies.slice(3 * index, 3 * index + 3);
      // Expired meanwhile.
      if (type === 'none') continue;
      const length = type === 'stream' ? await client.xlen(name) : undefined;
      keys.push({ name, ttlS: Number(ttlS), bytes: Number(bytes ?? 0), length });
    }
  }
  return keys;
}

function familiesOf(keys: Key[]): KeyFamily[] {
  // Ids are hex, alone or several together, or numbers.
  const pattern = ({ name }: Key) =>
    name
      .replace(/(?<=[:+-])[0-9a-f]{8,}(?:-[0-9a-f]{4,})*/g, '*')
      .replace(/\*(?:[-+]\*)+/g, '*')
      .replace(/\d{3,}/g, '*');
  return [...Map.groupBy(keys, pattern)]
    .map(([name, of]) => ({
      pattern: name,
      count: of.length,
      bytes: of.reduce((sum, { bytes }) => sum + bytes, 0),
      staying: of.filter(({ ttlS }) => ttlS < 0).length,
      maxTtlS: Math.max(...of.map(({ ttlS }) => ttlS)),
    }))
    .sort((a, b) => b.bytes - a.bytes);
}
