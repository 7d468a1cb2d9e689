import { randomBytes } from 'node:crypto';
import type { Streams } from '@loom/shared/streams.ts';
import { formatTraceParent } from '@loom/shared/trace-context.ts';
import type { LeaseQueue } from './adapters/lease-queue.ts';
import type { SessionFiles } from './adapters/session-files.ts';
import type { WatchedSessions } from './adapters/watched-sessions.ts';

export interface ScanOptions {
  files: SessionFiles;
  watched: WatchedSessions;
  queue: LeaseQueue;
  /** Only sessions whose transcript changed since then, milliseconds since 1970. */
  sinceMs: number;
}

const REDIS_MS = 3_000;

/** Redis did not answer, so there is nobody to tell what was found. */
export class RedisAwayError extends Error {
  override name = 'RedisAwayError';
}

/** Waits until commands are taken; a command that is run once has no later try. */
export async function redisIsReady(streams: Streams): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new RedisAwayError(`Redis did not answer within ${REDIS_MS} ms`)), REDIS_MS);
  const forget = streams.onReady(resolve);
  await promise.finally(() => {
    clearTimeout(timer);
    forget();
  });
}

/**
 * Has the sessions watched that were busy lately, whether or not Loom saw a request of theirs. One that no request has
 * named yet gets a trace of its own.
 *
 * @returns how many there are
 */
export async function scan({ files, watched, queue, sinceMs }: ScanOptions): Promise<number> {
  const found = await files.findChangedSince(sinceMs);
  for (const { session, project } of found) {
    // Older than any request: it gives way to each.
    const sighting = { session, atMs: 0, eventId: '', traceparent: randomTraceparent(), project };
    await watched.see(sighting);
    await queue.want(session, false);
  }
  return found.length;
}

function randomTraceparent(): string {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return formatTraceParent({ traceId, spanId, flags: 1 });
}
