import { setTimeout as pause } from 'node:timers/promises';
import { buildRequest } from './bodies.ts';
import { send, sendMany } from './measure.ts';
import { resetPeak, rssMb } from './process-figures.ts';
import type { MemoryFigures } from './results.ts';
import type { Targets } from './targets.ts';

const IDLE_MS = 4_000;
const AT_A_TIME = 32;
const REQUESTS = 128;

/** Memory of fresh processes: of each service before it has done anything, and at most while 32 bodies of 1 MB pass. */
export async function measureMemory(targets: Targets, upstream: string, collector: string): Promise<MemoryFigures> {
  const hpm = await targets.startPrinting('hpm', 'deploy/bench/bare-proxy.ts', [upstream]);
  const loom = await targets.startLoom('loom', upstream, collector);
  const quiet = await targets.startLoom('without telemetry', upstream, '');
  const others = ['transcript-watcher', 'trace-grouper'].map((name) => {
    const settings = { REDIS_URL: quiet.redis.url, CLAUDE_DATA_DIR: '/nonexistent' };
    return { name, pid: targets.start(`services/${name}/src/main.ts`, [], settings).pid as number };
  });
  await pause(IDLE_MS);
  const idle = {
    hpm: rssMb(hpm.pid, 'now'),
    gateway: rssMb(quiet.pid, 'now'),
    'compact-rewriter': rssMb(quiet.rewriters[0]?.pid as number, 'now'),
    'intro-injector': rssMb(quiet.rewriters[1]?.pid as number, 'now'),
    ...Object.fromEntries(others.map(({ name, pid }) => [name, rssMb(pid, 'now')])),
    'gateway, telemetry on': rssMb(loom.pid, 'now'),
  };
  const peak: Record<string, number> = {};
  for (const target of [hpm, loom]) {
    const bodies = Array.from({ length: AT_A_TIME }, (_, at) =>
      buildRequest({ bytes: 1_048_576, session: `bench-memory-${target.name}-${at}`, newest: 'tool-result' }),
    );
    resetPeak(target.pid);
    await sendMany(REQUESTS, AT_A_TIME, (at) =>
      send(target.url, target.agent, bodies[at % AT_A_TIME] as (typeof bodies)[0]),
    );
    peak[target.name] = rssMb(target.pid, 'peak');
  }
  return { idle, peak };
}
