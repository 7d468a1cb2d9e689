import { setTimeout as delay } from 'node:timers/promises';
import type { RedisServer } from '@loom/shared/testing/redis.ts';
import { signal } from '../up/process.ts';
import type { Redis } from './samples.ts';

/** What happens at which part of a soak; connections are lost all the time. */
const RESTARTS: [part: number, service: string, by: NodeJS.Signals][] = [
  [0.08, 'gateway', 'SIGTERM'],
  [0.11, 'trace-grouper', 'SIGKILL'],
  [0.14, 'intro-injector', 'SIGTERM'],
  [0.17, 'transcript-watcher', 'SIGKILL'],
  [0.2, 'compact-rewriter', 'SIGKILL'],
  [0.23, 'gateway', 'SIGKILL'],
  [0.26, 'transcript-watcher', 'SIGTERM'],
  [0.29, 'trace-grouper', 'SIGTERM'],
];
/** Once the gateway is not started again: when as many sessions come as it remembers, so that its memory of them is full. */
export const CROWD_FROM = 0.24;
/** When Redis is stopped, and comes back with what it held. */
const REDIS_RESTART = 0.32;
/** From here on every process is the same one until the end, and what it holds is judged. */
export const JUDGED_FROM = 0.4;

export interface Disturbed {
  server: RedisServer;
  client: Redis;
  /** The pid of each service, as it is now. */
  pids: ReadonlyMap<string, number>;
  forMs: number;
  stopping: AbortSignal;
  say: (line: string) => void;
}

/** Ends services, stops Redis, and breaks or freezes its connections, at times that the length alone decides. */
export async function disturb({ server, client, pids, forMs, stopping, say }: Disturbed): Promise<void> {
  const startedMs = performance.now();
  const until = async (part: number) => {
    const leftMs = startedMs + part * forMs - performance.now();
    if (leftMs > 0) await delay(leftMs, undefined, { signal: stopping });
  };
  const restarts = async () => {
    for (const [part, service, by] of RESTARTS) {
      await until(part);
      const pid = pids.get(service);
      say(`${by} to the ${service}`);
      if (pid !== undefined) signal(pid, by);
    }
    await until(REDIS_RESTART);
    say('Redis is stopped and started again');
    await server.stop();
    await delay(1_000, undefined, { signal: stopping }).catch(() => {});
    await server.start();
  };
  const reconnects = async () => {
    const everyMs = Math.max(7_000, forMs / 60);
    for (let round = 1; ; round++) {
      await delay(everyMs, undefined, { signal: stopping });
      if (round % 3 > 0) await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes').catch(() => {});
      else {
        server.freeze();
        await delay(700);
        server.thaw();
      }
    }
  };
  const ended = (error: unknown) => {
    if (!stopping.aborted) throw error;
  };
  await Promise.all([restarts().catch(ended), reconnects().catch(ended)]);
}
