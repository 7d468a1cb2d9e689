import { setTimeout as pause } from 'node:timers/promises';
import { buildRequest } from './bodies.ts';
import { median, send } from './measure.ts';
import { cpuUs } from './process-figures.ts';
import type { Target, Targets } from './targets.ts';

export interface TelemetryBench {
  targets: Targets;
  direct: Target;
  collector: string;
  rounds: number;
  say: (line: string) => void;
}

const WARM_UP_ROUNDS = 5;
const REQUESTS_PER_ROUND = 20;
/** Spans are exported within 200 ms. */
const SETTLED_MS = 400;

/**
 * What telemetry costs: two gateways, one of which exports all of its spans and logs, take turns within each round; the
 * medians over the rounds of what a request took of the processor, exports included, and until its answer's first byte.
 */
export async function compareTelemetry({ targets, direct, collector, rounds, say }: TelemetryBench): Promise<void> {
  const gateways = [
    await targets.startLoom('off', direct.url, ''),
    await targets.startLoom('on', direct.url, collector),
  ] as const;
  say('telemetry off and on, microseconds a request');
  say('body      CPU off   CPU added   first byte off   first byte added');
  for (const kilobytes of [4, 256, 1_024]) {
    const costs = { off: { cpu: [], firstByte: [] }, on: { cpu: [], firstByte: [] } } as Record<string, Costs>;
    let repetition = 0;
    for (let round = -WARM_UP_ROUNDS; round < rounds; round++)
      for (const gateway of round % 2 === 0 ? gateways : gateways.toReversed()) {
        const times: number[] = [];
        const before = cpuUs(gateway.pid);
        for (let at = 0; at < REQUESTS_PER_ROUND; at++) {
          const session = `bench-telemetry-${kilobytes}`;
          const kind = { bytes: kilobytes * 1_024, session, newest: 'typed', repetition: repetition++ } as const;
          times.push((await send(gateway.url, gateway.agent, buildRequest(kind))).firstByteMs * 1_000);
        }
        await pause(SETTLED_MS);
        // Until everything is compiled.
        if (round < 0) continue;
        costs[gateway.name]?.cpu.push((cpuUs(gateway.pid) - before) / REQUESTS_PER_ROUND);
        costs[gateway.name]?.firstByte.push(median(times));
      }
    const [off, on] = [costs['off'], costs['on']].map((cost) => ({
      cpu: median(cost?.cpu ?? []),
      firstByte: median(cost?.firstByte ?? []),
    })) as [Cost, Cost];
    const cells = [
      `${kilobytes} KB`.padEnd(10),
      off.cpu.toFixed(0).padEnd(10),
      (on.cpu - off.cpu).toFixed(0).padEnd(12),
      off.firstByte.toFixed(0).padEnd(17),
      (on.firstByte - off.firstByte).toFixed(0),
    ];
    say(cells.join(''));
  }
}

interface Costs {
  cpu: number[];
  firstByte: number[];
}

/** Of one request, microseconds. */
interface Cost {
  cpu: number;
  firstByte: number;
}
