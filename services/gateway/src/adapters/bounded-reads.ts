import type { Streams } from '@loom/shared';
import type { ChainableCommander } from 'ioredis';
import { Breaker } from '../core/breaker.ts';
import type { Metrics } from './metrics.ts';

const READ_MS = 50;

/** Reads from Redis on a request's path: at most 50 ms, and after a miss not again for a while. */
export class BoundedReads {
  readonly #streams: Streams;
  readonly #metrics: Metrics;
  readonly #breaker = new Breaker(1);

  constructor(streams: Streams, metrics: Metrics) {
    this.#streams = streams;
    this.#metrics = metrics;
  }

  /**
   * Runs a pipeline; undefined when Redis is away or did not answer in time.
   *
   * @returns the replies in order; a command that failed by itself (wrong type) gives undefined
   */
  async read(build: (pipeline: ChainableCommander) => void): Promise<unknown[] | undefined> {
    if (!this.#streams.connected || !this.#breaker.allows(Date.now())) return undefined;
    const pipeline = this.#streams.redis.pipeline();
    build(pipeline);
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, READ_MS);
    // A reply that comes later is thrown away: memory serves meanwhile.
    const replies = await Promise.race([pipeline.exec().catch(() => undefined), timeout]);
    clearTimeout(timer);
    if (!Array.isArray(replies)) {
      this.#breaker.missed(Date.now());
      this.#metrics.readsFailed.add(1);
      return undefined;
    }
    this.#breaker.succeeded();
    return replies.map(([error, value]) => (error ? undefined : value));
  }
}
