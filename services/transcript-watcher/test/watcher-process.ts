import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));

/** A line of a watcher's log. */
export interface LogLine {
  /** Milliseconds since 1970. */
  atMs: number;
  level: string;
  message: string;
  session?: string;
}

/** A watcher in a process of its own, started as `npm start` does. */
export class WatcherProcess {
  readonly lines: LogLine[] = [];
  /** When the process was ended, milliseconds since 1970; Infinity while it runs. */
  endedAtMs = Number.POSITIVE_INFINITY;
  readonly printed: string[] = [];
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;

  constructor(environment: Record<string, string>, ...words: string[]) {
    const command = ['--import', '@loom/shared/instrument.ts', 'src/main.ts', ...words];
    const env = { ...process.env, NODE_OPTIONS: '', ...environment };
    this.#child = spawn(process.execPath, command, { cwd: FOLDER, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      if (output) createInterface({ input: output }).on('line', (line) => this.#note(line));
    }
    this.#exited = once(this.#child, 'close').then(([code]) => code as number | null);
  }

  /** The sessions that it holds, by what it logged. */
  get held(): Set<string> {
    const held = new Set<string>();
    for (const { message, session = '' } of this.lines) {
      if (message === 'lease taken') held.add(session);
      else if (message.startsWith('lease ')) held.delete(session);
    }
    return held;
  }

  get isRunning(): boolean {
    return this.endedAtMs === Number.POSITIVE_INFINITY;
  }

  hasLogged(message: string): boolean {
    return this.lines.some((line) => line.message === message);
  }

  /** Resolves to the exit code. */
  async end(signal?: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    if (signal) this.#child.kill(signal);
    if (signal === 'SIGKILL') this.endedAtMs = Date.now();
    const code = await this.#exited;
    this.endedAtMs = Math.min(this.endedAtMs, Date.now());
    return code;
  }

  #note(line: string): void {
    if (!line.startsWith('{')) {
      this.printed.push(line);
      return;
    }
    const { timestamp, level, message, session } = JSON.parse(line);
    this.lines.push({ atMs: Date.parse(timestamp), level, message, ...(session === undefined ? {} : { session }) });
  }
}
