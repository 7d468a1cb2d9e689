import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits until a condition holds and returns its first truthy value; asks every 10 ms, and less often the longer it has
 * waited: asking must not be what keeps the machine busy. Rejects with what was seen last, so that the failure says how
 * far it came. A condition that throws does not hold yet.
 *
 * @param withinMs how long to ask, milliseconds of wall clock. The default is no claim about what is waited for: it
 *   ends what hangs, and is long enough for a machine that does ten other things
 *
 * @example
 * await until(async () => (await client.xlen('t:requests')) === 3);
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { withinMs = 90_000 }: { withinMs?: number } = {},
): Promise<T> {
  const startedAt = performance.now();
  for (;;) {
    let seen: unknown;
    try {
      const value = await condition();
      if (value) return value;
      seen = value;
    } catch (error) {
      seen = error;
    }
    const waitedMs = performance.now() - startedAt;
    if (waitedMs >= withinMs) {
      const shown = seen instanceof Error ? seen.message : JSON.stringify(seen);
      throw new Error(`expected ${condition.toString()} within ${withinMs} ms, got ${shown}`, { cause: seen });
    }
    await delay(Math.min(Math.max(10, waitedMs / 50), 50));
  }
}
