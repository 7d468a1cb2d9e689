import type { Redis } from 'ioredis';

/**
 * Redis' clock: entry ids are made by it, so deadlines are judged by it, and the clocks of two machines need not agree.
 * Between two readings it goes on by this process' monotonic clock.
 */
export class RedisClock {
  #offsetMs = Date.now() - performance.now();

  /** Reads the time of Redis; rejects when Redis does not answer, and the last reading stays. */
  async read(redis: Redis): Promise<void> {
    const [seconds, microseconds] = await redis.time();
    this.#offsetMs = Number(seconds) * 1_000 + Number(microseconds) / 1_000 - performance.now();
  }

  /** Milliseconds since an entry was appended. */
  ageOf(entryId: string): number {
    return this.#offsetMs + performance.now() - Number.parseInt(entryId, 10);
  }
}
