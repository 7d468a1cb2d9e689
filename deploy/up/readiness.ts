import { setTimeout as delay } from 'node:timers/promises';
import { connectRedis } from '@loom/shared/connection.ts';

/** Redis did not answer in time. */
export class RedisUnreachableError extends Error {
  override name = 'RedisUnreachableError';
}

/**
 * Waits until Redis answers PING.
 *
 * @param withinMs milliseconds; then RedisUnreachableError, with the last fault as its cause
 */
export async function redisAnswers(url: string, withinMs: number, stop: AbortSignal): Promise<void> {
  const deadline = performance.now() + withinMs;
  const redis = connectRedis(url, 'fail-fast');
  let fault: Error | undefined;
  redis.on('error', (error) => {
    fault = error;
  });
  try {
    for (;;) {
      const refusal = await redis.ping().then(
        () => undefined,
        (error: Error) => error,
      );
      if (!refusal) return;
      if (performance.now() > deadline) {
        // Not the whole URL: it may hold a password.
        const { host, pathname } = new URL(url);
        const reason = (fault ?? refusal).message;
        throw new RedisUnreachableError(`Redis at ${host || pathname} does not answer: ${reason}`, { cause: refusal });
      }
      await delay(50, undefined, { signal: stop });
    }
  } finally {
    redis.disconnect();
  }
}

/**
 * Polls the gateway's `/readyz` until it answers 200.
 *
 * @param patienceMs after so long, `onWait` is told once what the gateway says; the polling goes on
 */
export async function gatewayIsReady(
  url: string,
  { patienceMs, onWait }: { patienceMs: number; onWait: (reason: string) => void },
  stop: AbortSignal,
): Promise<void> {
  const patience = performance.now() + patienceMs;
  let told = false;
  for (;;) {
    const fault = await findFault(url, stop);
    stop.throwIfAborted();
    if (fault === undefined) return;
    if (!told && performance.now() > patience) {
      onWait(fault);
      told = true;
    }
    await delay(200, undefined, { signal: stop });
  }
}

async function findFault(url: string, stop: AbortSignal): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([stop, AbortSignal.timeout(2_000)]) });
    const body = await response.text();
    return response.ok ? undefined : `${response.status} ${body.slice(0, 300)}`;
  } catch (error) {
    // Nobody listens yet, or it does not answer: that is what is asked for.
    return `${url} does not answer (${String((error as Error).cause ?? error)})`;
  }
}
