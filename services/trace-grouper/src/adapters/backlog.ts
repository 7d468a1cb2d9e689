import { setTimeout as delay } from 'node:timers/promises';
import { timeOfId } from '@loom/shared/entry-id.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';

const STREAMS = ['requests', 'responses', 'captures', 'transcripts'];
/** An entry that was given this often and is not settled cannot be, not even as a dead letter: nobody waits for it. */
const MAX_DELIVERIES = 10;
/** How many pending entries are looked at for one that may still be settled. */
const MAX_LOOK = 100;
const LOOK_MS = 100;
/** An entry that fails over and over would hold up every turn: by then what a killed replica had has come again. */
const MAX_WAIT_MS = 30_000;

export interface BacklogOptions {
  /** See `backlogMs`. */
  behindMs: () => Promise<number>;
  log: Logger;
  /** Ends the waiting. */
  signal: AbortSignal;
}

/**
 * Resolves when the group has handled what was published while nobody read it, what a killed replica was given included;
 * after 30 s in any case. Until then, that nothing is known of a turn says nothing about it.
 */
export async function backlogRead({ behindMs, log, signal }: BacklogOptions): Promise<void> {
  const begun = performance.now();
  while (!signal.aborted && performance.now() - begun < MAX_WAIT_MS) {
    const behind = await behindMs().catch((error: unknown) => {
      // Redis is away: nothing is decided then, either.
      log.debug('the backlog is not known yet', { error });
      return Number.POSITIVE_INFINITY;
    });
    if (behind <= performance.now() - begun) return;
    await delay(LOOK_MS, undefined, { signal }).catch(() => {});
  }
}

/**
 * How old the oldest entry is that the group has not handled, be it unread or with a replica that was killed; 0 when
 * there is none. Milliseconds of Redis' clock. Of the time since then nothing is known: it is no silence.
 */
export async function backlogMs(streams: Streams, group: string): Promise<number> {
  const oldest = await Promise.all(STREAMS.map((name) => oldestUnhandled(streams, streams.key(name), group)));
  const [seconds, microseconds] = await streams.redis.time();
  const now = Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
  return Math.max(0, ...oldest.flatMap((id) => (id === undefined ? [] : [now - timeOfId(id)])));
}

async function oldestUnhandled({ redis }: Streams, key: string, group: string): Promise<string | undefined> {
  // First what is unread: an entry that is read between the two looks is pending at the second.
  const groups = ((await redis.xinfo('GROUPS', key)) as unknown[][]).map((fields) => {
    // Each is a flat list of names and values.
    const member = (name: string) => fields[fields.indexOf(name) + 1];
    return { name: member('name'), last: String(member('last-delivered-id')) };
  });
  const last = groups.find(({ name }) => name === group)?.last ?? '0-0';
  const [unread] = await redis.xrange(key, `(${last}`, '+', 'COUNT', 1);
  const pending = (await redis.xpending(key, group, '-', '+', MAX_LOOK)) as Pending[];
  const open = pending.find(([, , , deliveries]) => deliveries <= MAX_DELIVERIES);
  return open?.[0] ?? unread?.[0];
}

type Pending = [id: string, consumer: string, idleMs: number, deliveries: number];
