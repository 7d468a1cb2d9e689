import { setTimeout as delay } from 'node:timers/promises';
import { type Logger, type Streams, untraced } from '@loom/shared';

const STREAMS = ['requests', 'responses', 'captures', 'transcripts'];
const LOOK_MS = 100;
/** An entry that fails over and over would hold up every turn: by then what a killed replica had has come again. */
const MAX_WAIT_MS = 30_000;

export interface BacklogOptions {
  streams: Streams;
  log: Logger;
  group: string;
  /** Ends the waiting. */
  signal: AbortSignal;
}

/**
 * Resolves when the group has handled what was published while nobody read it, what a killed replica was given included;
 * after 30 s in any case. Until then, that nothing is known of a turn says nothing about it.
 */
export async function backlogRead({ streams, log, group, signal }: BacklogOptions): Promise<void> {
  const deadline = performance.now() + MAX_WAIT_MS;
  while (!signal.aborted && performance.now() < deadline) {
    const unhandled = await untraced(() => countUnhandled(streams, group)).catch((error: unknown) => {
      // Redis is away: nothing is decided then, either.
      log.debug('the backlog is not known yet', { error });
      return Number.NaN;
    });
    if (unhandled === 0) return;
    await delay(LOOK_MS, undefined, { signal }).catch(() => {});
  }
}

async function countUnhandled(streams: Streams, group: string): Promise<number> {
  const replies = await Promise.all(STREAMS.map((name) => streams.redis.xinfo('GROUPS', streams.key(name))));
  const groups = (replies.flat() as unknown[][]).map((fields) => {
    // Each is a flat list of names and values.
    const member = (name: string) => fields[fields.indexOf(name) + 1];
    return { name: member('name'), count: Number(member('pending')) + Number(member('lag') ?? 0) };
  });
  return groups.filter(({ name }) => name === group).reduce((sum, { count }) => sum + count, 0);
}
