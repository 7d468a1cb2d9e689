import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Outcome, ROWS } from './rows.ts';
import { World } from './world.ts';

const HELP = `Lets every fault happen that Loom is built for, under load, and says what the client noticed and what was lost.

  make faults                    (or: node deploy/faults/main.ts)

  --seed <n>       another choice of conversations and kills     1
  --rounds <n>     random kills in the last row                  200
  --only <a,b>     these rows alone; the README stays as it is   all
  --help

All of Loom as processes of its own, a Redis of its own, a scripted API, clients by @anthropic-ai/sdk with its own
retries, a TCP proxy on each way between them; loopback only. A ledger holds what the clients got whole against what was
published: each event once, each line of a transcript once, and each turn's sums of calls, tokens and cost equal to those
of the same turn in a run without a fault. Exits with 1 when anything is lost without a word.

rows: ${ROWS.filter(({ isHidden }) => !isHidden)
  .map(({ name }) => name)
  .join(', ')}
`;
const README = join(import.meta.dirname, '../../README.md');
const [BEGIN, END] = ['<!-- make faults -->', '<!-- /make faults -->'];
const say = (line: string) => process.stdout.write(`${line}\n`);

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '200' },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  say(HELP);
  process.exit(0);
}
const [seed, rounds] = [Number(values.seed), Number(values.rounds)];
const only = values.only?.split(',');
const rows = ROWS.filter(({ name, isHidden }) => (only ? only.includes(name) : !isHidden));
if (rows.length === 0) {
  process.stderr.write(`expected names of rows in --only, got ${values.only}; see --help\n`);
  process.exit(2);
}

function noticed({ account }: Outcome): string {
  const { calls, troubles, unanswered } = account;
  if (unanswered > 0) return `${unanswered} of ${calls} requests had no answer`;
  if (troubles.size === 0) return 'nothing';
  const times = [...troubles].sort(([, a], [, b]) => b - a).map(([what, count]) => `${what} ×${count}`);
  return `${calls} answers, after ${times.join(', ')}`;
}

const began = performance.now();
const seconds = () => `${Math.round((performance.now() - began) / 1_000)} s`;
say(`starting Loom, a Redis and an API, and a run without a fault (seed ${seed}) …`);
const world = await World.open(seed);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void world.close().finally(() => process.exit(130)));
const table: string[] = [];
try {
  for (const row of rows) {
    const outcome = await row.run(world, { rounds, seed, say });
    const { lost, told } = outcome;
    const fault = row.name === 'kills' ? `${rounds} ${row.fault}` : row.fault;
    table.push(`| ${fault} | ${noticed(outcome)} | ${lost.length}${told ? `; ${told}` : ''} |`);
    say(
      `${seconds().padStart(6)}  ${row.name}: noticed ${noticed(outcome)}; lost ${lost.length}${told ? `; ${told}` : ''}`,
    );
    for (const what of lost.slice(0, 10)) say(`        ${what}`);
    if (lost.length > 0) process.exitCode = 1;
  }
} finally {
  await world.close();
}
const lines = ['| fault, under load | what the client noticed | what was lost |', '| --- | --- | --- |', ...table];
say('');
for (const line of lines) say(line);
if (!only && process.exitCode !== 1) {
  const readme = readFileSync(README, 'utf8');
  const [before, after] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (before < 0 || after < 0) throw new Error(`expected ${BEGIN} and ${END} in the README, got none`);
  writeFileSync(README, `${readme.slice(0, before)}${BEGIN}\n${lines.join('\n')}\n${readme.slice(after)}`);
}
// A connection that a client keeps alive is no reason to wait.
process.exit();
