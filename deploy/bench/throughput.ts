import { setTimeout as pause } from 'node:timers/promises';
import { buildRequest } from './bodies.ts';
import { median, send, sendMany } from './measure.ts';
import { cpuUs } from './process-figures.ts';
import type { ThroughputCell } from './results.ts';
import type { Target } from './targets.ts';

const AT_A_TIME = 32;
/** Until what a target does is compiled: one that does more needs longer, and would be compared half-way. */
const WARM_UP_MS = 4_000;
/** By then spans are exported and captures published: what follows from a request belongs to its price. */
const SETTLED_MS = 500;

export interface ThroughputOptions {
  targets: Target[];
  kilobytes: number;
  answer: string;
  rounds: number;
  requestsPerRound: number;
  /** Default: 4,000. */
  warmUpMs?: number;
}

/** Requests a second on the target's one core, 32 at a time, and what one of them costs of it. */
export async function measureThroughput(options: ThroughputOptions): Promise<ThroughputCell> {
  const { targets, kilobytes, answer, rounds, requestsPerRound, warmUpMs = WARM_UP_MS } = options;
  const perSecond = new Map(targets.map(({ name }) => [name, [] as number[]]));
  const cpuMs = new Map(targets.map(({ name }) => [name, [] as number[]]));
  const requests = ({ name }: Target) =>
    Array.from({ length: AT_A_TIME }, (_, at) => {
      const session = `bench-many-${kilobytes}-${name}-${at}`;
      return buildRequest({ bytes: kilobytes * 1_024, session, newest: 'tool-result', answer });
    });
  const sendAll = (target: Target, all: ReturnType<typeof requests>) =>
    sendMany(requestsPerRound, AT_A_TIME, (at) =>
      send(target.url, target.agent, all[at % AT_A_TIME] as (typeof all)[0]),
    );
  for (const target of targets) {
    const all = requests(target);
    for (const beganMs = performance.now(); performance.now() - beganMs < warmUpMs; ) await sendAll(target, all);
    await pause(SETTLED_MS);
  }
  for (let round = 0; round < rounds; round++)
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const all = requests(target);
      const cpuBefore = cpuUs(target.pid);
      const startedMs = performance.now();
      await sendAll(target, all);
      const seconds = (performance.now() - startedMs) / 1_000;
      await pause(SETTLED_MS);
      perSecond.get(target.name)?.push(requestsPerRound / seconds);
      cpuMs.get(target.name)?.push((cpuUs(target.pid) - cpuBefore) / 1_000 / requestsPerRound);
    }
  const middle = (of: Map<string, number[]>) =>
    Object.fromEntries([...of].map(([name, values]) => [name, median(values)]));
  return { kilobytes, answer, perSecond: middle(perSecond), cpuMs: middle(cpuMs) };
}
