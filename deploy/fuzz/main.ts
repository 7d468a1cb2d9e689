import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { LawReport } from '@loom/shared/testing/law.ts';
import { findLaws, type LawFile } from './laws.ts';

const HELP = `Holds every law of the tests to as many random cases as there is time for.

usage: make fuzz [MINUTES=5] [ARGS='--seed 42 scan-body']

  --minutes N   how long, at most about (5)
  --seed N      where the random numbers start (chance)
  words         only the files with one of these in their path

Says each law's cases, and of one that does not hold the smallest case that was found and how to see it again. Ends with
1 when a law does not hold.
`;
const ROOT = join(import.meta.dirname, '../..');
/** What it takes to start a file's tests. */
const START_MS = 4_000;
const LEAST_MS = 2_000;
const PROGRESS_MS = 10_000;
/** Beyond its time a case may still be shrunk; a law that says nothing for so long hangs. */
const SILENCE_MS = 120_000;

const { values, positionals: words } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' }, help: { type: 'boolean' } },
});
const minutes = Number(values.minutes);
const seed = values.seed === undefined ? Math.trunc(Math.random() * 2 ** 31) : Number(values.seed);
const say = (line: string) => process.stdout.write(`${line}\n`);
if (values.help || !(minutes > 0) || !Number.isInteger(seed)) {
  say(HELP);
  process.exit(values.help ? 0 : 1);
}

interface Outcome {
  reports: LawReport[];
  /** What else is wrong with the file. */
  fault?: string;
}

const state = await mkdtemp(join(tmpdir(), 'loom-fuzz-'));
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());

const all = (await findLaws(ROOT)).filter(
  ({ file }) => words.length === 0 || words.some((word) => file.includes(word)),
);
const total = all.reduce((sum, { laws }) => sum + laws, 0);
say(`the laws of ${all.length} files, ${minutes} minutes, seed ${seed}`);
const deadline = performance.now() + minutes * 60_000;

/** Runs a file's laws in a process of their own, each for so long. */
async function run({ file }: LawFile, forMs: number): Promise<Outcome> {
  const path = join(state, file.replaceAll('/', '-'));
  const child = spawn(
    process.execPath,
    // Its own limit must be none: a law is bounded by its time, and its smallest case is worth waiting for.
    [
      join(ROOT, 'node_modules/jest/bin/jest.js'),
      ...['--runInBand', '--silent', '--testTimeout=1000000', '--runTestsByPath', file],
    ],
    {
      cwd: ROOT,
      env: {
        ...process.env,
        NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
        LOOM_FUZZ_MS: String(Math.round(forMs)),
        LOOM_FUZZ_SEED: String(seed),
        LOOM_FUZZ_REPORT: path,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });

  const reports = () => (existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').map(parse) : []);
  let told = 0;
  let heardMs = performance.now();
  let fault: string | undefined;
  const ticker = setInterval(() => {
    const count = reports().length;
    if (count > told) heardMs = performance.now();
    told = count;
    say(
      `    … ${file}: ${count} of ${laws} laws, ${Math.max(0, Math.round((deadline - performance.now()) / 1_000))} s left`,
    );
    if (performance.now() - heardMs < forMs + SILENCE_MS) return;
    fault = `hangs after ${count} laws, with seed ${seed}`;
    child.kill('SIGKILL');
  }, PROGRESS_MS);
  const stop = () => child.kill('SIGKILL');
  interrupted.signal.addEventListener('abort', stop);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  interrupted.signal.removeEventListener('abort', stop);
  clearInterval(ticker);

  const reported = reports();
  const isExplained = code === 0 || interrupted.signal.aborted || reported.some(({ failure }) => failure !== undefined);
  fault ??= isExplained ? undefined : output.slice(-4_000);
  return { reports: reported, ...(fault !== undefined && { fault }) };
}

function parse(line: string): LawReport {
  return JSON.parse(line) as LawReport;
}

let runs = 0;
let laws = 0;
let lawsLeft = total;
const failures: string[] = [];
try {
  for (const [index, found] of all.entries()) {
    if (interrupted.signal.aborted) break;
    const leftMs = deadline - performance.now() - START_MS * (all.length - index);
    const outcome = await run(found, Math.max(LEAST_MS, leftMs / lawsLeft));
    lawsLeft -= found.laws;
    say(found.file);
    for (const { law, runs: cases, failure } of outcome.reports) {
      say(`  ${failure === undefined ? 'holds ' : 'BROKEN'} ${cases.toLocaleString('en').padStart(9)} × ${law}`);
      runs += cases;
      laws += 1;
      const again = `LOOM_FUZZ_SEED=${seed} npm test -- ${found.file} -t '${law.replaceAll("'", '.')}'`;
      if (failure !== undefined) failures.push(`${found.file}\n${law}\n${failure}\nagain: ${again}`);
    }
    if (outcome.fault !== undefined) failures.push(`${found.file}\n${outcome.fault}`);
  }
} finally {
  await rm(state, { recursive: true, force: true });
}

for (const failure of failures) say(`\n${failure}`);
say(`\n${laws} laws, ${runs.toLocaleString('en')} cases, seed ${seed}: ${failures.length} broken`);
if (failures.length > 0) process.exitCode = 1;
