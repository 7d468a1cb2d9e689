import { setTimeout as delay } from 'node:timers/promises';
import { capOf, KEEP, KEPT_FOR_GROUPS } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { type GroupNote, type GroupStanding, planTrimming, type StreamStanding } from '../core/trimming.ts';
import type { EventPublisher } from './event-publisher.ts';

/** Of several gateways one keeps the streams; when it dies, another one does so with its next round. */
const EVERY_MS = 10_000;
/** A consumer that was killed stays in its group; one that lives has read within this time, or says that it is there. */
const GONE_MS = 10 * 60 * 1_000;

/**
 * In one step, or it might be given an entry in between, which would be lost with it. KEYS: stream; ARGV: group, ms, those
 * that stay.
 */
const TIDY = `
local stays = {}
for at = 3, #ARGV do stays[ARGV[at]] = true end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local of = {}
  for at = 1, #consumer, 2 do of[consumer[at]] = consumer[at + 1] end
  if of.pending == 0 and of.idle > tonumber(ARGV[2]) and not stays[of.name] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
  end
end`;

type Standing = StreamStanding & { groups: (GroupStanding & { consumers: string[] })[] };
type Notes = Record<string, Record<string, GroupNote>>;

export interface StreamKeeperOptions {
  streams: Streams;
  publisher: Pick<EventPublisher, 'publish'>;
  log: Logger;
  gateway: string;
  /** How often it looks at the streams, milliseconds. Default 10,000. */
  everyMs?: number;
  /** After how long without a word a consumer is no more, milliseconds. Default 10 minutes. */
  goneMs?: number;
  /** How many entries a stream keeps. Default `KEEP`. */
  keep?: (stream: keyof typeof KEEP) => number;
}

/**
 * Trims the streams once their groups have read them, tells of what a group has lost (`stream.gap`), and takes consumers
 * that are no more out of their groups. In the background: no request ever waits for it, and without it streams are as
 * long as whoever writes lets them become.
 */
export class StreamKeeper {
  readonly #options: StreamKeeperOptions;
  readonly #stopping = new AbortController();

  constructor(options: StreamKeeperOptions) {
    this.#options = options;
    void this.#keepOn();
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #keepOn(): Promise<void> {
    const { streams, log, everyMs = EVERY_MS } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted || !streams.connected) continue;
      await untraced(() => this.#round()).catch((error: unknown) => {
        // Redis is away or refuses: the next round does it.
        log.debug('the streams could not be kept', { error });
      });
    }
  }

  async #round(): Promise<void> {
    const { streams, gateway, everyMs = EVERY_MS } = this.#options;
    const { redis } = streams;
    const [lease, notesKey] = [streams.key('streams-keeper'), streams.key('streams-kept')];
    // A little shorter than a round: the next one is anybody's.
    if ((await redis.set(lease, gateway, 'PX', Math.ceil(everyMs * 0.9), 'NX')) === null) return;
    const [seconds, microseconds] = await redis.time();
    const now = Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
    const before = parse(await redis.get(notesKey));
    const after: Notes = {};
    for (const name of KEPT_FOR_GROUPS) {
      const standing = await this.#read(name);
      if (standing) after[name] = await this.#keep(standing, before[name] ?? {}, now);
    }
    await redis.set(notesKey, JSON.stringify(after));
  }

  async #keep(standing: Standing, notes: Record<string, GroupNote>, now: number): Promise<Notes[string]> {
    const { streams, publisher, log, keep = (name) => KEEP[name], goneMs = GONE_MS } = this.#options;
    const { redis } = streams;
    const name = standing.name as (typeof KEPT_FOR_GROUPS)[number];
    const key = streams.key(name);
    const plan = planTrimming(standing, notes, { keep: keep(name), now });
    for (const { index, ...gap } of plan.gaps) {
      const id = `${gap.stream}:${gap.group}:${gap.from}:${index}`;
      publisher.publish({ type: 'stream.gap', id, subject: gap.group, data: gap }, ROOT_CONTEXT);
      log.error('a group has lost what it had not read: its stream is full', { ...gap, cap: capOf(name) });
    }
    // No more than those: `~` stops before the node of 100 entries that would be too many.
    if (plan.trim) await redis.xtrim(key, 'MINID', '~', plan.trim.before, 'LIMIT', plan.trim.count);
    for (const { name: group, consumers } of standing.groups) {
      // One that lives may have had nothing to read for long: Redis 7.0 takes it for idle.
      const present = await Promise.all(
        consumers.map((consumer) => redis.exists(streams.key(`service:${group}:${consumer}`))),
      );
      const stay = consumers.filter((_, at) => present[at] === 1);
      await redis.eval(TIDY, 1, key, group, goneMs, ...stay);
    }
    return plan.notes;
  }

  /** Undefined while there is no such stream. */
  async #read(name: string): Promise<Standing | undefined> {
    const { redis } = this.#options.streams;
    const key = this.#options.streams.key(name);
    if ((await redis.exists(key)) === 0) return undefined;
    const stream = fieldsOf(await redis.xinfo('STREAM', key));
    const groups = ((await redis.xinfo('GROUPS', key)) as unknown[]).map(fieldsOf);
    return {
      name,
      length: Number(stream['length']),
      added: Number(stream['entries-added']),
      firstId: String((stream['first-entry'] as unknown[] | null)?.[0] ?? stream['last-generated-id']),
      lastId: String(stream['last-generated-id']),
      groups: await Promise.all(groups.map((group) => this.#readGroup(key, group))),
    };
  }

  async #readGroup(key: string, group: Record<string, unknown>): Promise<Standing['groups'][number]> {
    const { redis } = this.#options.streams;
    const name = String(group['name']);
    const consumers = ((await redis.xinfo('CONSUMERS', key, name)) as unknown[]).map(fieldsOf);
    const [oldest] = (await redis.xpending(key, name, '-', '+', 1)) as [id: string][];
    const idle = consumers.map((consumer) => Number(consumer['idle']));
    return {
      name,
      lastId: String(group['last-delivered-id']),
      read: group['entries-read'] === null ? null : Number(group['entries-read']),
      ...(oldest && { oldestPending: oldest[0] }),
      consumers: consumers.map((consumer) => String(consumer['name'])),
      ...(idle.length > 0 && { idleMs: Math.min(...idle) }),
    };
  }
}

/** A flat list of names and values, as Redis gives it. */
function fieldsOf(list: unknown): Record<string, unknown> {
  const values = list as unknown[];
  return Object.fromEntries(values.flatMap((name, at) => (at % 2 === 0 ? [[String(name), values[at + 1]]] : [])));
}

function parse(notes: string | null): Notes {
  try {
    return JSON.parse(notes ?? '{}') as Notes;
  } catch {
    // Somebody else's: begun anew, at worst a gap is told again under its own id.
    return {};
  }
}
