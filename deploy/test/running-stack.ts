import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { until } from '@loom/shared/testing/until.ts';
import { endProcesses, isRunning, type RunningProcess } from '../up/process.ts';
import { endLeftovers, findRun } from '../up/run-record.ts';

const DEPLOY = join(import.meta.dirname, '..');

/** A state folder and ports of the test's own, and `make up` and `make down` on them. */
export class Ground {
  readonly state = mkdtempSync(join(tmpdir(), 'loom-up-'));
  readonly environment: NodeJS.ProcessEnv;
  readonly #ups: ChildProcess[] = [];

  private constructor(environment: NodeJS.ProcessEnv) {
    this.environment = environment;
  }

  static async open(): Promise<Ground> {
    const [port, admin, redis] = [await freePort(), await freePort(), await freePort()];
    return new Ground({
      ...PASSED_ON,
      LOOM_PORT: String(port),
      LOOM_ADMIN_PORT: String(admin),
      LOOM_REDIS_PORT: String(redis),
    });
  }

  /** Starts `make up` as a terminal does: it leads a process group, so that Ctrl-C can be given to all of it. */
  up(environment: NodeJS.ProcessEnv = {}, services = join(import.meta.dirname, 'services'), ...more: string[]) {
    const words = [join(DEPLOY, 'up.ts'), '--services', services, '--state', this.state, ...more];
    const child = spawn(process.execPath, words, { env: { ...this.environment, ...environment }, detached: true });
    this.#ups.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    const exited = once(child, 'close').then(([code]) => code as number | null);
    return {
      exited,
      lines: () => output.split('\n').filter((line) => line !== ''),
      /** The gateway answers, and the worker has come to its first line. */
      ready: () => until(() => output.includes('Each turn is one line here') && output.includes('worker uses redis')),
      ctrlC: () => process.kill(-(child.pid as number), 'SIGINT'),
      kill: () => process.kill(child.pid as number, 'SIGKILL'),
    };
  }

  /** Runs `make down` and returns what it says. */
  async down(): Promise<string> {
    const child = spawn(process.execPath, [join(DEPLOY, 'down.ts'), '--state', this.state], { env: this.environment });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    await once(child, 'close');
    return output;
  }

  /** What runs now, by the record. */
  processes(): RunningProcess[] {
    return (findRun(this.state)?.processes ?? []).filter(isRunning);
  }

  find(name: string): RunningProcess | undefined {
    return this.processes().find((running) => running.name === name);
  }

  /** Ends whatever a failed test left. */
  async close(): Promise<void> {
    for (const up of this.#ups) up.kill('SIGKILL');
    const run = findRun(this.state);
    if (run) await endProcesses([run.up, ...run.processes], 0);
    await endLeftovers(this.state, 0);
    rmSync(this.state, { recursive: true });
  }
}
