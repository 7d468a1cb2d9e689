import { setTimeout as pause } from 'node:timers/promises';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import type { ChainableCommander } from 'ioredis';
import type { Metrics } from './metrics.ts';

const SUSPENDED_MS = 1_000;

/** Reads from Redis on a request's path: bounded, and after a miss not again until Redis was seen to answer. */
export class BoundedReads {
  readonly #streams: Streams;
  readonly #metrics: Metrics;
  readonly #readMs: number;
  #isSuspended = false;

  /** @param readMs the longest that a request waits for a read, milliseconds */
  constructor(streams: Streams, metrics: Metrics, readMs: number) {
    this.#streams = streams;
    this.#metrics = metrics;
    this.#readMs = readMs;
  }

  /**
   * Runs a pipeline and returns the replies in order; undefined when Redis is away, did not answer in time, or refused
   * one of the commands.
   *
   * @param times how many times as long to wait as for other reads
   *
   * @example
   * const replies = await reads.read((pipeline) => pipeline.hgetall('loom:session:s1')); // [{ profile: 'alpha' }]
   */
  async read(build: (pipeline: ChainableCommander) => void, times = 1): Promise<unknown[] | undefined> {
    if (!this.#streams.connected || this.#isSuspended) return undefined;
    const pipeline = this.#streams.redis.pipeline();
    build(pipeline);
    const reply = untraced(() => pipeline.exec());
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    // One more look at the sockets: where this process was busy, the reply is there and only has not been read yet.
    const timer = setTimeout(() => setImmediate(resolve), times * this.#readMs);
    // A pipeline resolves also when the connection was lost: each reply is then an error.
    const replies = await Promise.race([reply.catch(() => null), timeout]);
    clearTimeout(timer);
    if (replies && !replies.some(([error]) => error)) return replies.map(([, value]) => value);
    this.#metrics.readsFailed.add(1);
    if (replies === undefined && !this.#isSuspended) void this.#suspend();
    return undefined;
  }

  /** Asks in the background until Redis answers again, so that no request waits for it in vain. */
  async #suspend(): Promise<void> {
    this.#isSuspended = true;
    const { redis } = this.#streams;
    let isAnswered = false;
    while (!isAnswered && redis.status !== 'end') {
      await pause(SUSPENDED_MS, undefined, { ref: false });
      isAnswered = await redis.ping().then(
        () => true,
        () => false,
      );
    }
    this.#isSuspended = false;
  }
}
