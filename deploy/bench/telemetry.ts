import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { until } from '@loom/shared/testing/until.ts';
import { buildRequest } from './bodies.ts';
import { median, timeToFirstByte } from './measure.ts';

export interface TelemetryBench {
  /** Starts a script of the repository as a process. */
  start: (script: string, args?: string[], environment?: Record<string, string>) => ChildProcess;
  upstream: string;
  collector: string;
  /** For spools. */
  folder: string;
  rounds: number;
  requestsPerRound: number;
}

/** Of one request, microseconds. */
export interface Cost {
  cpu: number;
  firstByte: number;
}

type Target = 'off' | 'on';
const WARM_UP_ROUNDS = 2;

/**
 * What telemetry costs: two gateways, one of which exports all of its spans and logs, take turns within each round; the
 * medians over the rounds of what a request took of the processor, exports included, and until its answer's first byte.
 */
export async function openTelemetryBench({ start, upstream, collector, folder, ...sizes }: TelemetryBench) {
  const open = async (name: Target, settings: Record<string, string>) => {
    const [port, adminPort] = [await freePort(), await freePort()];
    const { pid } = start('services/gateway/src/main.ts', [], {
      LOOM_KEY_PREFIX: `{bench-${name}}`,
      LOOM_PORT: String(port),
      LOOM_ADMIN_PORT: String(adminPort),
      LOOM_UPSTREAM_URL: upstream,
      LOOM_SPOOL_DIR: join(folder, name),
      ...settings,
    });
    await until(async () => (await fetch(`http://127.0.0.1:${adminPort}/healthz`)).ok, { withinMs: 20_000 });
    return { pid: pid as number, url: `http://127.0.0.1:${port}` };
  };
  const gateways = {
    off: await open('off', { OTEL_EXPORTER_OTLP_ENDPOINT: '' }),
    on: await open('on', { OTEL_EXPORTER_OTLP_ENDPOINT: collector, OTEL_SERVICE_NAME: 'gateway' }),
  };

  return async (bytes: number): Promise<Record<Target, Cost>> => {
    const agent = new http.Agent({ keepAlive: true });
    const costs = { off: [] as Cost[], on: [] as Cost[] };
    let repetition = 0;
    for (let round = -WARM_UP_ROUNDS; round < sizes.rounds; round++)
      for (const name of round % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const)) {
        const { pid, url } = gateways[name];
        const times: number[] = [];
        const before = cpuUs(pid);
        for (let at = 0; at < sizes.requestsPerRound; at++) {
          const request = buildRequest(bytes, `bench-telemetry-${bytes}`, 'typed', repetition++);
          times.push((await timeToFirstByte(url, agent, request)) * 1_000);
        }
        const cpu = (cpuUs(pid) - before) / sizes.requestsPerRound;
        // Until everything is compiled.
        if (round >= 0) costs[name].push({ cpu, firstByte: median(times) });
      }
    agent.destroy();
    const middle = (of: Cost[]) => ({
      cpu: median(of.map(({ cpu }) => cpu)),
      firstByte: median(of.map(({ firstByte }) => firstByte)),
    });
    return { off: middle(costs.off), on: middle(costs.on) };
  };
}

/** The CPU time of a process' threads so far: by the scheduler's own account, which is in nanoseconds. */
function cpuUs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const spent = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]),
  );
  return spent.reduce((sum, ns) => sum + ns / 1_000, 0);
}
