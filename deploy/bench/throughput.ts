import { setTimeout as pause } from 'node:timers/promises';
import { buildRequest } from './bodies.ts';
import { median, send, sendMany } from './measure.ts';
import { cpuUs } from './process-figures.ts';
import type { ThroughputCell } from './results.ts';
import type { Target } from './targets.ts';

const AT_A_TIME = 32;
const WARM_UP_ROUNDS = 1;
/** By then spans are exported and captures published: what follows from a request belongs to its price. */
const SETTLED_MS = 500;

export interface ThroughputOptions {
  targets: Target[];
  kilobytes: number;
  answer: string;
  rounds: number;
  requestsPerRound: number;
}

/** Requests a second on the target's one core, 32 at a time, and what one of them costs of it. */
export async function measureThroughput(options: ThroughputOptions): Promise<ThroughputCell> {
  const { targets, kilobytes, answer, rounds, requestsPerRound } = options;
  const perSecond = new Map(targets.map(({ name }) => [name, [] as number[]]));
  const cpuMs = new Map(targets.map(({ name }) => [name, [] as number[]]));
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++)
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const requests = Array.from({ length: AT_A_TIME }, (_, at) => {
        const session = `bench-many-${kilobytes}-${target.name}-${at}`;
        return buildRequest({ bytes: kilobytes * 1_024, session, newest: 'tool-result', answer });
      });
      const cpuBefore = cpuUs(target.pid);
      const startedMs = performance.now();
      await sendMany(requestsPerRound, AT_A_TIME, (at) =>
        send(target.url, target.agent, requests[at % AT_A_TIME] as (typeof requests)[0]),
      );
      const seconds = (performance.now() - startedMs) / 1_000;
      await pause(SETTLED_MS);
      if (round < 0) continue;
      perSecond.get(target.name)?.push(requestsPerRound / seconds);
      cpuMs.get(target.name)?.push((cpuUs(target.pid) - cpuBefore) / 1_000 / requestsPerRound);
    }
  const middle = (of: Map<string, number[]>) =>
    Object.fromEntries([...of].map(([name, values]) => [name, median(values)]));
  return { kilobytes, answer, perSecond: middle(perSecond), cpuMs: middle(cpuMs) };
}
