import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { userEnvironment } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';

const SERVICES = fileURLToPath(new URL('../../..', import.meta.url));

/** A service as a process of its own, started from its own entry; may be started again after it ended. */
export class ServiceProcess {
  readonly name: string;
  readonly #environment: () => Promise<Record<string, string>>;
  readonly #messages: string[] = [];
  #child: ChildProcess | undefined;
  #complaints = '';

  /** @param environment asked for at each start; nothing of this process’s environment but `PASSED_ON` */
  constructor(name: string, environment: () => Promise<Record<string, string>>) {
    this.name = name;
    this.#environment = environment;
  }

  /** Resolves when the process logs that it is up; rejects with what it wrote to stderr when it ends instead. */
  async start(): Promise<void> {
    const environment = await this.#environment();
    const upBefore = this.#count('listening') + this.#count('started');
    const child = spawn(process.execPath, ['--import', '@loom/shared/instrument.ts', 'src/main.ts'], {
      cwd: `${SERVICES}${this.name}`,
      env: { ...PASSED_ON, ...userEnvironment(this.name), ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#complaints = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints += text;
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.#messages.push(messageOf(line)));
    await until(() => child.exitCode !== null || this.#count('listening') + this.#count('started') > upBefore);
    if (child.exitCode !== null) throw new Error(`expected ${this.name} to start, got ${this.#complaints}`);
  }

  /** SIGTERM; resolves when it has drained, rejects when it does not end with 0. */
  async stop(): Promise<void> {
    const [code, signal] = await this.#end('SIGTERM');
    if (code !== 0) throw new Error(`expected ${this.name} to drain, got ${code ?? signal}: ${this.#complaints}`);
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    if (this.isRunning) await this.#end('SIGKILL');
  }

  /** SIGSTOP: it holds what it has, and does nothing more. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  /** SIGCONT. */
  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Waits until the process, from its first start on, has logged a message so many times. */
  async logs(message: string, times: number): Promise<void> {
    await until(() => this.#count(message) >= times);
  }

  #count(message: string): number {
    return this.#messages.filter((logged) => logged.startsWith(message)).length;
  }

  async #end(signal: NodeJS.Signals): Promise<[code: number | null, signal: string | null]> {
    if (!this.#child || !this.isRunning) throw new Error(`expected ${this.name} to run: ${this.#complaints}`);
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    return (await exited) as [number | null, string | null];
  }
}

function messageOf(line: string): string {
  try {
    return (JSON.parse(line) as { message: string }).message;
  } catch {
    // Not a line of our log, such as a warning of Node's: kept as it is.
    return line;
  }
}
