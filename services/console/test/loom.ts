import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { until } from '@loom/shared/testing/until.ts';
import { runCommand } from '../src/run-command.ts';

export const FOLDER = join(import.meta.dirname, '..');

/** A `loom` that runs. */
export interface Running {
  child: ChildProcess;
  /** The whole lines of stdout so far. */
  lines(): string[];
  stderr(): string;
  exited: Promise<number | null>;
}

const running = new Set<ChildProcess>();

/** Starts a command as a child process in a pipe, with this Redis and the prefix `t`; times are UTC. */
export function start(words: string[], environment: NodeJS.ProcessEnv, command = process.execPath): Running {
  const own = command === process.execPath ? ['src/main.ts'] : [];
  const { HOME } = process.env;
  const env = { ...PASSED_ON, HOME, TZ: 'UTC', LOOM_KEY_PREFIX: 't', ...environment };
  const child = spawn(command, [...own, ...words], { cwd: FOLDER, env, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text) => {
      texts[name] += text;
    });
  }
  const exited = once(child, 'close').then(([code]) => {
    running.delete(child);
    return code as number | null;
  });
  return { child, lines: () => texts.stdout.split('\n').slice(0, -1), stderr: () => texts.stderr, exited };
}

/** Runs a command to its end. */
export async function run(words: string[], environment: NodeJS.ProcessEnv = {}, command?: string) {
  const loom = start(words, environment, command);
  const code = await loom.exited;
  return { code, lines: loom.lines(), stderr: loom.stderr() };
}

/**
 * Runs a command to its end in this process, which is sooner done, one at a time, in the time zone of the tests. Not for
 * a command that looks for the home folder, which would be the user's own, nor for one that a signal ends.
 */
export async function runHere(words: string[], environment: NodeJS.ProcessEnv = {}) {
  const texts = { stdout: '', stderr: '' };
  const into = (name: keyof typeof texts) =>
    new Writable({
      write(chunk, _, done) {
        texts[name] += chunk;
        done();
      },
    });
  const own = {
    env: { ...PASSED_ON, LOOM_KEY_PREFIX: 't', ...environment },
    stdin: Readable.from([]),
    stdout: into('stdout'),
    stderr: into('stderr'),
    exitCode: undefined as number | undefined,
  };
  const before = Object.getOwnPropertyDescriptors(process) as Record<string, PropertyDescriptor>;
  for (const [name, value] of Object.entries(own))
    Object.defineProperty(process, name, { value, writable: true, configurable: true });
  try {
    await runCommand(words);
    return { code: Number(process.exitCode ?? 0), lines: texts.stdout.split('\n').slice(0, -1), stderr: texts.stderr };
  } finally {
    for (const name of Object.keys(own)) Object.defineProperty(process, name, before[name] ?? {});
  }
}

/** Waits until a command has printed so many lines, ends it as Ctrl-C does, and returns them and its exit code. */
export async function watch(loom: Running, count: number): Promise<{ code: number | null; lines: string[] }> {
  await until(() => loom.lines().length >= count).catch((error) => {
    throw new Error(`${error.message}; printed ${JSON.stringify(loom.lines())}, ${loom.stderr()}`);
  });
  loom.child.kill('SIGINT');
  return { code: await loom.exited, lines: loom.lines() };
}

/** Ends whatever a failed test left. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}
