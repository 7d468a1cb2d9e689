import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { type BenchRequest, buildRequest, type Newest } from './bodies.ts';
import { median, timeToFirstByte } from './measure.ts';
import { openTelemetryBench } from './telemetry.ts';

const HELP = `Measures what Loom adds to the first byte, against a bare express + http-proxy-middleware proxy in the same run.

  make bench                 (or: node deploy/bench/main.ts [--rounds 9] [--requests 20])

Both rewriters are live, every prompt of the body carries a metadata block, and everything is published to a Redis of
its own. Three targets take turns in each round: direct, bare proxy, Loom. "Added" is the median over rounds of the
target's median minus the direct one's; ratios are the figures to compare, milliseconds depend on the machine.
Then what telemetry adds: two gateways alone, one of which exports its spans and logs, take turns in the same way.
`;

const root = new URL('../../', import.meta.url).pathname;
const say = (line: string) => process.stdout.write(`${line}\n`);
const option = (name: string, standard: number) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? standard : Number(process.argv[at + 1]);
};

if (process.argv.includes('--help')) {
  say(HELP);
  process.exit(0);
}

const WARM_UP_ROUNDS = 3;
const rounds = option('--rounds', 9);
const requestsPerRound = option('--requests', 20);
const children: ChildProcess[] = [];
const redis = await startRedis();
const client = redis.client();
const spool = await mkdtemp(join(tmpdir(), 'loom-bench-'));

function start(script: string, args: string[] = [], environment: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, ['--import', '@loom/shared/instrument.ts', join(root, script), ...args], {
    cwd: root,
    env: { ...process.env, REDIS_URL: redis.url, LOG_LEVEL: 'error', ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return child;
}

async function startPrinting(script: string, args: string[] = []): Promise<string> {
  const child = start(script, args);
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  return `http://127.0.0.1:${line.toString().trim()}`;
}

try {
  const direct = await startPrinting('deploy/bench/upstream.ts');
  const bare = await startPrinting('deploy/bench/bare-proxy.ts', [direct]);
  const [port, adminPort] = [await freePort(), await freePort()];
  const loom = `http://127.0.0.1:${port}`;
  start('services/compact-rewriter/src/main.ts');
  start('services/intro-injector/src/main.ts');
  start('services/gateway/src/main.ts', [], {
    LOOM_PORT: String(port),
    LOOM_ADMIN_PORT: String(adminPort),
    LOOM_UPSTREAM_URL: direct,
    LOOM_SPOOL_DIR: spool,
  });
  await until(async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok, { withinMs: 20_000 });

  const targets = { direct, bare, loom };
  say(`${rounds} rounds of ${requestsPerRound} requests, one at a time, JSON answers; medians, milliseconds`);
  say('body      newest message   direct   bare added   Loom added   Loom / bare');
  for (const kilobytes of [4, 256, 1024]) {
    for (const newest of ['tool-result', 'typed'] satisfies Newest[]) {
      const added = await compare(targets, kilobytes * 1024, newest);
      const cells = [
        `${kilobytes} KB`.padEnd(10),
        newest.padEnd(17),
        added.direct.toFixed(2).padEnd(9),
        added.bare.toFixed(2).padEnd(13),
        added.loom.toFixed(2).padEnd(13),
        `${(added.loom / added.bare).toFixed(2)} x`,
      ];
      say(cells.join(''));
    }
  }
  const outcomes = await countOutcomes();
  say('');
  await compareTelemetry(direct);
  say(
    `edits in this run: ${Object.entries(outcomes)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')}`,
  );
} finally {
  for (const child of children) child.kill('SIGTERM');
  await Promise.all(children.map((child) => (child.exitCode === null ? once(child, 'exit') : undefined)));
  client.disconnect();
  await redis.close();
  await rm(spool, { recursive: true, force: true });
}

/** Lets the targets take turns, in the one order and then in the other. */
async function compare(targets: Record<'direct' | 'bare' | 'loom', string>, bytes: number, newest: Newest) {
  const agent = new http.Agent({ keepAlive: true });
  const names = Object.keys(targets) as (keyof typeof targets)[];
  let repetition = 0;
  const addedOf = { direct: [] as number[], bare: [] as number[], loom: [] as number[] };
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    const medians = { direct: 0, bare: 0, loom: 0 };
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const times: number[] = [];
      for (let at = 0; at < requestsPerRound; at++) {
        const request = await requestFor(`bench-${bytes}-${newest}-${name}`, bytes, newest, repetition++);
        times.push(await timeToFirstByte(targets[name], agent, request));
      }
      medians[name] = median(times);
    }
    // Until everything is compiled.
    if (round < 0) continue;
    addedOf.direct.push(medians.direct);
    addedOf.bare.push(medians.bare - medians.direct);
    addedOf.loom.push(medians.loom - medians.direct);
  }
  agent.destroy();
  return { direct: median(addedOf.direct), bare: median(addedOf.bare), loom: median(addedOf.loom) };
}

/** What exporting spans and logs adds. */
async function compareTelemetry(upstream: string): Promise<void> {
  const collector = await startPrinting('deploy/bench/collector.ts');
  const measure = await openTelemetryBench({ start, upstream, collector, folder: spool, rounds, requestsPerRound });
  say('telemetry off and on, microseconds a request');
  say('body      CPU off   CPU added   first byte off   first byte added');
  for (const kilobytes of [4, 256, 1024]) {
    const { off, on } = await measure(kilobytes * 1024);
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

/** Each typed prompt is new and meets a new memorable, so both the question and the edit are in the figure. */
async function requestFor(session: string, bytes: number, newest: Newest, repetition: number): Promise<BenchRequest> {
  const memorable = `The loom in the window is ${repetition} years older than the house.`;
  await client.multi().del(`intro:memorables:${session}`).rpush(`intro:memorables:${session}`, memorable).exec();
  return buildRequest(bytes, session, newest, repetition);
}

async function countOutcomes(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const [, fields] of await client.xrange('loom:responses', '-', '+')) {
    const { edits = [] } = JSON.parse(fields.at(-1) as string) as { edits?: { rewriter: string; outcome: string }[] };
    for (const { rewriter, outcome } of edits)
      counts[`${rewriter} ${outcome}`] = (counts[`${rewriter} ${outcome}`] ?? 0) + 1;
  }
  return counts;
}
