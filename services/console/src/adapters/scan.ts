import type { Redis } from 'ioredis';

/** The keys that match a pattern, in order, found without holding Redis up. */
export async function scan(redis: Redis, pattern: string, type: 'stream' | 'string'): Promise<string[]> {
  const found = new Set<string>();
  for (let cursor = '0'; ; ) {
    const [next, keys] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000, 'TYPE', type);
    for (const key of keys) found.add(key);
    if (next === '0') return [...found].sort();
    cursor = next;
  }
}
