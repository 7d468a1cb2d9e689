import type { ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { buildRequest } from './bodies.ts';
import { send, sendMany } from './measure.ts';
import { resetPeak, rssMb } from './process-figures.ts';
import type { MemoryFigures } from './results.ts';
import type { Targets } from './targets.ts';

/** V8 gives back what the start has left lying about when nothing happens for 8 s. */
const IDLE_MS = 15_000;
const AT_A_TIME = 32;
const REQUESTS = 128;

/**
 * Memory of fresh processes: of each service before it has done anything, and at most while 32 bodies of 1 MB pass. Each
 * was started once before, so that what it runs is compiled already.
 */
export async function measureMemory(targets: Targets, upstream: string, collector: string): Promise<MemoryFigures> {
  const first = await startAll(targets, upstream, collector);
  await Promise.all(first.processes.map((child) => targets.end(child)));
  const { hpm, loom, quiet, others } = await startAll(targets, upstream, collector);
  const idle = {
    hpm: rssMb(hpm.pid, 'now'),
    gateway: rssMb(quiet.pid, 'now'),
    'compact-rewriter': rssMb(quiet.rewriters[0]?.pid as number, 'now'),
    'intro-injector': rssMb(quiet.rewriters[1]?.pid as number, 'now'),
    ...Object.fromEntries(others.map(({ name, process: child }) => [name, rssMb(child.pid as number, 'now')])),
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

/** Starts all of it, and resolves when it has been idle for a while. */
async function startAll(targets: Targets, upstream: string, collector: string) {
  const hpm = await targets.startPrinting('hpm', 'deploy/bench/bare-proxy.ts', [upstream]);
  const loom = await targets.startLoom('loom', upstream, collector);
  const quiet = await targets.startLoom('without telemetry', upstream, '');
  const others = ['transcript-watcher', 'trace-grouper'].map((name) => {
    const settings = { REDIS_URL: quiet.redis.url, CLAUDE_DATA_DIR: '/nonexistent' };
    return { name, process: targets.start(`services/${name}/src/main.ts`, [], settings) };
  });
  await pause(IDLE_MS);
  const started = [hpm, loom, quiet, ...others].map(({ process: child }) => child as ChildProcess);
  return { hpm, loom, quiet, others, processes: [...started, ...loom.rewriters, ...quiet.rewriters] };
}
