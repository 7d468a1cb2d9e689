import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { measureFirstByte } from './first-byte.ts';
import { judge } from './goals.ts';
import { measureMemory } from './memory.ts';
import { measureRedisStates } from './redis-states.ts';
import { tableOf, writeReport } from './report.ts';
import { type Results, readResults, writeResults } from './results.ts';
import { measureBeside, measureStreams } from './streams.ts';
import { type Target, Targets } from './targets.ts';
import { compareTelemetry } from './telemetry.ts';
import { measureThroughput } from './throughput.ts';

const PARTS = ['first-byte', 'throughput', 'streams', 'beside', 'memory', 'redis-states', 'telemetry', 'transcripts'];
const HELP = `Measures Loom against a bare express + http-proxy-middleware proxy ("hpm") and one that parses, edits and stringifies
each body ("reparse"), in turns within one run, and says which goals it meets.

  make bench                           everything, about 20 minutes
  make bench ARGS=--quick              the same with few rounds, about 9 minutes; writes nothing
  make bench ARGS="--only first-byte"  one part of it, or several: first-byte,streams

Parts: ${PARTS.join(', ')}.

Loom has both rewriters live, metadata blocks in the body, events published to a Redis of its own and telemetry exported.
The target has core 1 for itself; generator, upstream, Redis, rewriters and collector share core 0, so that neither steals
from the other. Bodies are conversations like Claude Code's, 7 % backslashes. In first-byte, throughput,
redis-states and telemetry each target is warm before it is measured. Ratios are the figures to compare, milliseconds
depend on the machine. The figures are kept in deploy/bench/results.json, and the table and the chart are written from
them: the chart to deploy/bench/first-byte.svg, both between their markers in README.md.
`;

const say = (line: string) => process.stdout.write(`${line}\n`);
const has = (flag: string) => process.argv.includes(flag);
if (has('--help')) {
  say(HELP);
  process.exit(0);
}
const isQuick = has('--quick');
const only = has('--only') ? (process.argv[process.argv.indexOf('--only') + 1] ?? '').split(',') : PARTS;
const unknown = only.filter((part) => !PARTS.includes(part));
if (unknown.length > 0) {
  process.stderr.write(`expected parts among ${PARTS.join(', ')}, got ${unknown.join(', ')}\n`);
  process.exit(2);
}
const isWanted = (part: string) => only.includes(part);
const rounds = (count: number) => (isQuick ? 3 : count);
const warmUp = isQuick ? { warmUpMs: 500 } : {};
if (availableParallelism() >= 2) execFileSync('taskset', ['-apc', '0', String(process.pid)], { stdio: 'ignore' });

const results: Results = readResults();
const list = (figures: Record<string, number>, digits = 2) =>
  Object.entries(figures)
    .map(([name, value]) => `${name} ${value.toFixed(digits)}`)
    .join('  ');
const requestsFor = (kilobytes: number) => (kilobytes <= 256 ? 20 : kilobytes <= 1_024 ? 12 : 6);

await withTargets(async (targets, direct, collector) => {
  if (!['first-byte', 'throughput', 'streams', 'beside'].some(isWanted)) return;
  const hpm = await targets.startPrinting('hpm', 'deploy/bench/bare-proxy.ts', [direct.url]);
  const reparse = await targets.startPrinting('reparse', 'deploy/bench/bare-proxy.ts', [direct.url, '--reparse']);
  const loom = await targets.startLoom('loom', direct.url, collector);
  const all = [direct, hpm, reparse, loom];
  if (isWanted('first-byte')) await firstByte(all);
  keep();
  if (isWanted('throughput')) await throughput([hpm, reparse, loom]);
  keep();
  if (isWanted('streams')) await streams(all);
  keep();
  if (isWanted('beside')) {
    say('20 streams beside requests of 4 MB, 2 at a time: relay p50, p99 and longest stop of the event loop, ms');
    const cell = await measureBeside({
      targets: all,
      kilobytes: 4_096,
      requests: isQuick ? 20 : 60,
      rounds: rounds(3),
    });
    say(`  p50 ${list(cell.p50Ms)}\n  p99 ${list(cell.p99Ms)}\n  stop ${list(cell.longestStopMs)}`);
    results.beside = [cell];
    keep();
  }
});
if (isWanted('memory'))
  await withTargets(async (targets, direct, collector) => {
    say('memory, MB');
    results.memory = await measureMemory(targets, direct.url, collector);
    keep();
    say(`  idle ${list(results.memory.idle, 0)}\n  at most ${list(results.memory.peak, 0)}`);
  });
if (isWanted('redis-states'))
  await withTargets(async (targets, direct, collector) => {
    say('Redis healthy, stopped and gone');
    const loom = await targets.startLoom('loom', direct.url, collector);
    const sizes = [4, 256, 1_024];
    const cells = await measureRedisStates({ direct, loom, kilobytes: sizes, rounds: isQuick ? 1 : 4, requestsFor });
    for (const { kilobytes, addedMs, perSecond, cpuMs } of cells)
      say(`  ${kilobytes} KB: added ms ${list(addedMs)}; a second ${list(perSecond, 0)}; CPU ms ${list(cpuMs)}`);
    results['redis-states'] = cells;
    keep();
  });
if (isWanted('telemetry'))
  await withTargets((targets, direct, collector) =>
    compareTelemetry({ targets, direct, collector, rounds: rounds(9), say }),
  );
if (isWanted('transcripts') && !isQuick)
  execFileSync(process.execPath, [new URL('transcripts.ts', import.meta.url).pathname], { stdio: 'inherit' });

say(`\n${tableOf(judge(results))}`);
keep();
if (!isQuick) writeReport(results);

/** A run that is cut short has measured something all the same. */
function keep(): void {
  if (!isQuick) writeResults(results);
}

async function firstByte(targets: Target[]): Promise<void> {
  say('added to the first byte, one request at a time, ms');
  results['first-byte'] = [];
  const cells = [
    ...([4, 256, 1_024, 4_096] as const).map(
      (kilobytes) => ({ kilobytes, newest: 'tool-result', answer: 'json' }) as const,
    ),
    ...([4, 256, 1_024] as const).map((kilobytes) => ({ kilobytes, newest: 'typed', answer: 'json' }) as const),
    ...([4, 256, 1_024] as const).map((kilobytes) => ({ kilobytes, newest: 'tool-result', answer: 'sse' }) as const),
  ];
  for (const cell of cells) {
    const requestsPerRound = requestsFor(cell.kilobytes);
    const measured = await measureFirstByte({ ...cell, targets, rounds: rounds(9), requestsPerRound });
    const { added, addedToEnd, direct } = measured;
    const name = `${cell.kilobytes} KB ${cell.newest} ${cell.answer}`.padEnd(26);
    say(`  ${name} direct ${direct.toFixed(2)}; added ${list(added)}; to the end ${list(addedToEnd)}`);
    results['first-byte'].push(measured);
    keep();
  }
}

async function throughput(targets: Target[]): Promise<void> {
  say('32 requests at a time: requests a second, and CPU ms of one');
  results.throughput = [];
  const counts = { 4: 384, 256: 128, 1024: 64, 4096: 32 };
  for (const answer of ['json', 'sse'])
    for (const [size, requestsPerRound] of Object.entries(counts)) {
      const kilobytes = Number(size);
      const cell = await measureThroughput({
        targets,
        kilobytes,
        answer,
        rounds: rounds(5),
        requestsPerRound,
        ...warmUp,
      });
      say(`  ${size.padStart(4)} KB ${answer.padEnd(4)}  ${list(cell.perSecond, 0)}; CPU ${list(cell.cpuMs)}`);
      results.throughput.push(cell);
      keep();
    }
}

async function streams(targets: Target[]): Promise<void> {
  say('streams: relay p50 and p99 ms, CPU µs of an event, end ms');
  results.streams = [];
  for (const [streams, gapMs] of [
    [1, 5],
    [50, 5],
    [200, 20],
  ] as const) {
    const cell = await measureStreams({ targets, streams, gapMs, events: isQuick ? 100 : 250, rounds: rounds(3) });
    say(`  ${streams}: p50 ${list(cell.p50Ms)}; p99 ${list(cell.p99Ms)}`);
    say(`  ${' '.repeat(String(streams).length)}  CPU ${list(cell.cpuUsPerEvent, 0)}; end ${list(cell.endMs)}`);
    results.streams.push(cell);
    keep();
  }
}

async function withTargets(run: (targets: Targets, direct: Target, collector: string) => Promise<void>): Promise<void> {
  const targets = new Targets();
  const giveUp = () => void targets.close().finally(() => process.exit(1));
  process.once('SIGINT', giveUp).once('SIGTERM', giveUp);
  try {
    const direct = await targets.startPrinting('direct', 'deploy/bench/upstream.ts', [], false);
    const collector = await targets.startPrinting('collector', 'deploy/bench/collector.ts', [], false);
    await run(targets, direct, collector.url);
  } finally {
    await targets.close();
    process.off('SIGINT', giveUp).off('SIGTERM', giveUp);
  }
}
