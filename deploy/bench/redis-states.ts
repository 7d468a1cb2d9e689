import { setTimeout as pause } from 'node:timers/promises';
import { measureFirstByte } from './first-byte.ts';
import type { RedisStateCell } from './results.ts';
import type { Target, Targets } from './targets.ts';
import { measureThroughput } from './throughput.ts';

/** By then the gateways have given up the connections on which nobody answers. */
const NOTICED_MS = 4_000;

/** Three gateways, each with a Redis of its own: one is healthy, one is stopped and answers nothing, one is gone. */
export async function openRedisStates(targets: Targets, direct: Target, collector: string) {
  const healthy = await targets.startLoom('healthy', direct.url, collector);
  const stopped = await targets.startLoom('stopped', direct.url, collector);
  const gone = await targets.startLoom('gone', direct.url, collector);
  for (const { rewriters } of [stopped, gone]) await Promise.all(rewriters.map((rewriter) => targets.end(rewriter)));
  for (const { client } of [stopped, gone]) client.disconnect();
  stopped.redis.freeze();
  await gone.redis.kill();
  await pause(NOTICED_MS);
  const looms = [healthy, stopped, gone];

  return async (kilobytes: number, rounds: number, requestsPerRound: number): Promise<RedisStateCell> => {
    const sizes = { kilobytes, answer: 'json', rounds };
    const firstByte = await measureFirstByte({
      ...{ ...sizes, targets: [direct, ...looms], newest: 'tool-result', requestsPerRound },
    });
    const { perSecond, cpuMs } = await measureThroughput({
      ...{ ...sizes, targets: looms, rounds: Math.min(rounds, 5), requestsPerRound: 4 * requestsPerRound },
    });
    return { kilobytes, addedMs: firstByte.added, perSecond, cpuMs };
  };
}
