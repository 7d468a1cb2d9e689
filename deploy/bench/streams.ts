import { setTimeout as pause } from 'node:timers/promises';
import { buildRequest } from './bodies.ts';
import { median, quantile, send, sendMany } from './measure.ts';
import { cpuUs } from './process-figures.ts';
import type { BesideCell, StreamsCell } from './results.ts';
import { delaysMs } from './sse.ts';
import { longestStopMs, type Target } from './targets.ts';

const STREAM_BYTES = 4_096;
const SETTLED_MS = 500;

export interface StreamsOptions {
  targets: Target[];
  streams: number;
  gapMs: number;
  events: number;
  rounds: number;
}

/** How long an event is on its way, from the upstream's write to the client's read, and what it costs the target. */
export async function measureStreams({
  targets,
  streams,
  gapMs,
  events,
  rounds,
}: StreamsOptions): Promise<StreamsCell> {
  const seen = new Map(targets.map(({ name }) => [name, { p50: [], p99: [], cpu: [], end: [] } as Seen]));
  for (let round = -1; round < rounds; round++)
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const cpuBefore = target.process ? cpuUs(target.pid) : 0;
      const { delays, ends } = await stream(target, streams, gapMs, round < 0 ? 30 : events);
      await pause(SETTLED_MS);
      const cpu = (cpuUs(target.pid) - cpuBefore) / (streams * events);
      if (round < 0) continue;
      const { p50, p99, cpu: cpus, end } = seen.get(target.name) as Seen;
      p50.push(quantile(delays, 0.5));
      p99.push(quantile(delays, 0.99));
      cpus.push(cpu);
      end.push(median(ends));
    }
  const middle = (of: keyof Seen) => Object.fromEntries([...seen].map(([name, all]) => [name, median(all[of])]));
  return {
    streams,
    gapMs,
    p50Ms: middle('p50'),
    p99Ms: middle('p99'),
    cpuUsPerEvent: middle('cpu'),
    endMs: middle('end'),
  };
}

type Seen = Record<'p50' | 'p99' | 'cpu' | 'end', number[]>;

export interface BesideOptions {
  targets: Target[];
  kilobytes: number;
  requests: number;
  rounds: number;
}

/** 20 streams of an event each 20 ms, while large requests pass, 2 at a time. */
export async function measureBeside({ targets, kilobytes, requests, rounds }: BesideOptions): Promise<BesideCell> {
  const seen = new Map(targets.map(({ name }) => [name, { p50: [], p99: [], stop: [] } as Record<string, number[]>]));
  for (let round = -1; round < rounds; round++)
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const large = buildRequest({
        bytes: kilobytes * 1_024,
        session: `bench-large-${target.name}`,
        newest: 'tool-result',
      });
      if (target.process) await longestStopMs(target);
      let arePassing = true;
      const delays: number[] = [];
      const streaming = sendMany(20, 20, (at) =>
        send(target.url, target.agent, streamRequest(target, at, 20, 100_000), (chunk) => {
          if (arePassing) delays.push(...delaysMs(chunk));
        }).catch(() => {}),
      );
      await pause(200);
      await sendMany(round < 0 ? 6 : requests, 2, () => send(target.url, target.agent, large));
      arePassing = false;
      target.agent.destroy();
      await streaming;
      if (round < 0) {
        if (target.process) await longestStopMs(target);
        continue;
      }
      const { p50, p99, stop } = seen.get(target.name) as Record<string, number[]>;
      p50?.push(quantile(delays, 0.5));
      p99?.push(quantile(delays, 0.99));
      stop?.push(target.process ? await longestStopMs(target) : 0);
      await pause(SETTLED_MS);
    }
  const middle = (of: string) =>
    Object.fromEntries([...seen].map(([name, all]) => [name, median(all[of] as number[])]));
  return { kilobytes, p50Ms: middle('p50'), p99Ms: middle('p99'), longestStopMs: middle('stop') };
}

async function stream(target: Target, streams: number, gapMs: number, events: number) {
  const delays: number[] = [];
  const ends: number[] = [];
  await sendMany(streams, streams, async (at) => {
    // Not all in step with each other.
    await pause((at * gapMs) / streams);
    let last: Buffer = Buffer.alloc(0);
    await send(target.url, target.agent, streamRequest(target, at, gapMs, events), (chunk) => {
      last = chunk;
      delays.push(...delaysMs(chunk));
    });
    ends.push(delaysMs(last).at(-1) ?? Number.NaN);
  });
  return { delays, ends };
}

function streamRequest({ name }: Target, at: number, gapMs: number, events: number) {
  const session = `bench-stream-${name}-${at}`;
  return buildRequest({ bytes: STREAM_BYTES, session, newest: 'tool-result', answer: `paced ${events} ${gapMs}` });
}
