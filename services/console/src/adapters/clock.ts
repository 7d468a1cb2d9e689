import type { Redis } from 'ioredis';

/** Redis' clock, by which entry ids count: Unix milliseconds. */
export async function readClock(redis: Redis): Promise<number> {
  const [seconds, microseconds] = (await redis.time()).map(Number) as [number, number];
  return seconds * 1_000 + Math.floor(microseconds / 1_000);
}
