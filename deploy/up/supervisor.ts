import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { signal } from './process.ts';

/** A program that is kept running. */
export interface Program {
  name: string;
  command: string[];
  folder: string;
  environment: NodeJS.ProcessEnv;
}

/** Who is told what happens to a program. */
export interface Watcher {
  started(name: string, pid: number): void;
  ended(name: string, pid: number): void;
  line(name: string, line: string): void;
}

export interface Supervised {
  readonly name: string;
  /** SIGTERM, and SIGKILL for the whole group after `graceMs`; resolves when it has ended. */
  stop(graceMs: number): Promise<void>;
  /** SIGKILL for the whole group, now. */
  kill(): void;
}

/** A program that ran this long was healthy: its next crash counts as its first. Milliseconds. */
const HEALTHY_MS = 30_000;

/**
 * How long to wait before a crashed program starts again: 1 s, doubling to 15 s.
 *
 * @param crashes how many there were in a row, at least 1
 */
export function restartDelay(crashes: number): number {
  return Math.min(1_000 * 2 ** (crashes - 1), 15_000);
}

/**
 * Starts a program and keeps it running until it is stopped.
 *
 * It leads a process group of its own: Ctrl-C then reaches `make up` alone, which ends the programs in order, and
 * whatever a program has started itself ends with it.
 *
 * @param delayOf milliseconds before start number n + 1; see `restartDelay`
 */
export function supervise(program: Program, watcher: Watcher, delayOf = restartDelay): Supervised {
  const { name, folder, environment } = program;
  const [command = '', ...words] = program.command;
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopping = false;
  let crashes = 0;

  const start = () => {
    const startedMs = performance.now();
    const started = spawn(command, words, {
      cwd: folder,
      env: environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { pid } = started;
    if (pid !== undefined) {
      child = started;
      watcher.started(name, pid);
    }
    for (const output of [started.stdout, started.stderr]) {
      createInterface({ input: output }).on('line', (line) => watcher.line(name, line));
    }
    const restart = (reason: string) => {
      if (stopping) return;
      crashes = performance.now() - startedMs > HEALTHY_MS ? 1 : crashes + 1;
      const delayMs = delayOf(crashes);
      watcher.line(name, `${reason}, starts again in ${delayMs / 1000} s`);
      timer = setTimeout(start, delayMs);
    };
    started.once('error', (error) => restart(`could not be started (${error.message})`));
    started.once('exit', (code, by) => {
      child = undefined;
      signal(-(pid as number), 'SIGKILL');
      watcher.ended(name, pid as number);
      restart(`ended by itself (${by ?? `exit code ${code}`})`);
    });
  };

  start();
  return {
    name,
    async stop(graceMs) {
      stopping = true;
      clearTimeout(timer);
      if (!child?.pid) return;
      const { pid } = child;
      const exited = once(child, 'exit');
      const grace = setTimeout(() => {
        watcher.line(name, `did not end within ${graceMs / 1000} s and was killed`);
        signal(-pid, 'SIGKILL');
      }, graceMs);
      child.kill('SIGTERM');
      await exited;
      clearTimeout(grace);
    },
    kill() {
      stopping = true;
      clearTimeout(timer);
      if (child?.pid) signal(-child.pid, 'SIGKILL');
    },
  };
}
