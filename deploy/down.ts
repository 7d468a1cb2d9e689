import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { haveEnded, isRunning, signal } from './up/process.ts';
import { endLeftovers, findRun } from './up/run-record.ts';
import { GRACE_MS } from './up/stack.ts';

const HELP = `Ends what make up runs in another terminal, or left running when it was killed.

usage: make down      (or: node deploy/down.ts [--state <folder>])

  --state <folder>     the one that make up was given      .loom
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    state: { type: 'string', default: join(import.meta.dirname, '../.loom') },
  },
});
process.stdout.write(values.help ? HELP : `${await down(resolve(values.state))}\n`);

/** Ends the run of this state folder; returns the sentence that says what it did. */
async function down(state: string): Promise<string> {
  const run = findRun(state);
  if (!run) return 'Loom is not running.';
  const names = run.processes.map(({ name }) => name).join(', ');
  if (isRunning(run.up)) {
    signal(run.up.pid, 'SIGTERM');
    // It drains the services, then Redis.
    if (await haveEnded([run.up], 2 * GRACE_MS + 2_000)) return `Loom drained and ended: ${names}.`;
    signal(run.up.pid, 'SIGKILL');
    await haveEnded([run.up], 5_000);
  }
  const left = await endLeftovers(state, GRACE_MS);
  if (left.length === 0) return 'Loom was not running; a killed run had left nothing behind.';
  return `Loom had been killed; ended what was left: ${left.map(({ name }) => name).join(', ')}.`;
}
