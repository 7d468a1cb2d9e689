import { randomUUID } from 'node:crypto';
import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import { Queue } from 'bullmq';

/** What a lease is about. */
export interface Lease {
  session: string;
  /** When it was asked for, milliseconds since 1970. */
  seenAt: number;
}

export const QUEUE = 'watch';

/** How long a session that was just asked for is not asked for again. */
const ASKED_MS = 5_000;

/** Asks for leases: whoever has room takes them, in this process or another one. */
export class LeaseQueue {
  readonly #queue: Queue<Lease>;
  readonly #asked = new Map<string, number>();

  constructor(streams: Streams, log: Logger) {
    // It fails fast, so that a request's event is not stuck here while Redis is away. The version check would ask
    // Redis once, and a failure then is for good.
    const { redis: connection } = streams;
    const events = { maxLen: 100 };
    this.#queue = new Queue(QUEUE, {
      connection,
      prefix: streams.key('bull'),
      skipVersionCheck: true,
      streams: { events },
    });
    // Who asked is told of a failure, and an outage is told of by the connection's owner.
    this.#queue.on('error', (error) => log.debug('trouble with the lease queue', { error }));
    // What was asked for before an outage may be gone with it.
    streams.onReady(() => this.#asked.clear());
  }

  /**
   * Sees to it that the session has a lease; rejects when Redis does not take that.
   *
   * @param isHeld there was one when the request was recorded: then a repetition within a few seconds is left out. It
   *   cannot have ended in between, because ending asks when the last request was recorded.
   */
  async want(session: string, isHeld: boolean): Promise<void> {
    const now = performance.now();
    const last = this.#asked.get(session);
    if (isHeld && last !== undefined && now - last < ASKED_MS) return;
    await untraced(() =>
      this.#queue.add(
        QUEUE,
        { session, seenAt: Date.now() },
        {
          // BullMQ's own counter starts anew in a Redis that comes back empty, and workers know their jobs by these ids.
          jobId: randomUUID(),
          // Asked for while it is held, it is given once more afterwards: a request at the lease's very end is not lost.
          deduplication: { id: session, keepLastIfActive: true },
          attempts: Number.MAX_SAFE_INTEGER,
          backoff: { type: 'custom' },
          stackTraceLimit: 1,
          removeOnComplete: true,
          removeOnFail: { age: 86_400 },
        },
      ),
    );
    this.#remember(session, now);
  }

  /** How many sessions wait for a replica with room; rejects while Redis is away. */
  countWaiting(): Promise<number> {
    return this.#queue.getWaitingCount();
  }

  #remember(session: string, now: number): void {
    this.#asked.delete(session);
    this.#asked.set(session, now);
    // The oldest come first.
    for (const [name, at] of this.#asked) {
      if (now - at < ASKED_MS) return;
      this.#asked.delete(name);
    }
  }
}
