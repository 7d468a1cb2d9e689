import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from './log.ts';
import type { Streams } from './streams.ts';

export interface Announcing {
  streams: Streams;
  log: Logger;
  /** Ends it. */
  stopping: AbortSignal;
  /** Default 3,000. What is announced lapses after 10 s. */
  everyMs?: number | undefined;
}

/** Announces again and again, and as soon as Redis is back; one that fails is logged, and the next one is tried. */
export async function keepAnnouncing(
  { streams, log, stopping, everyMs = 3_000 }: Announcing,
  announce: () => Promise<void>,
): Promise<void> {
  let wake = () => {};
  const forget = streams.onReady(() => wake());
  while (!stopping.aborted) {
    const comesBack = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const stopped = delay(everyMs, undefined, { signal: stopping }).catch(() => {});
    await Promise.race([stopped, comesBack]);
    if (stopping.aborted) break;
    try {
      await announce();
    } catch (error) {
      if (streams.connected) log.warn('announcing failed', { error });
    }
  }
  forget();
}
