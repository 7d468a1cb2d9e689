import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { endProcesses, findProcess, isRunning, type RunningProcess } from './process.ts';

/** What runs, on disk in `up.json`, so that nothing is orphaned even when `make up` is killed with SIGKILL. */
export interface Run {
  up: RunningProcess;
  processes: RunningProcess[];
}

/** Another `make up` runs with the same state folder. */
export class AlreadyRunningError extends Error {
  override name = 'AlreadyRunningError';
}

/** Reads the record of a run that goes on, or that was killed; undefined when the last one ended as it should. */
export function findRun(state: string): Run | undefined {
  try {
    return JSON.parse(readFileSync(pathOf(state), 'utf8')) as Run;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`expected the record of a run in ${pathOf(state)}; remove that file`, { cause: error });
  }
}

/**
 * Ends what a killed `make up` left running, Redis last so that the services can drain into it.
 *
 * @returns what was ended; nothing while that `make up` still runs
 */
export async function endLeftovers(state: string, graceMs: number): Promise<RunningProcess[]> {
  const run = findRun(state);
  if (!run || isRunning(run.up)) return [];
  const left = run.processes.filter(isRunning);
  await endProcesses(
    left.filter(({ name }) => name !== 'redis'),
    graceMs,
  );
  await endProcesses(left, graceMs);
  rmSync(pathOf(state), { force: true });
  return left;
}

/** The record of this run, kept on disk; written in one synchronous rename, right after a process was started. */
export class RunRecord {
  readonly #state: string;
  #run: Run;

  /** @throws AlreadyRunningError when another run holds the folder; call `endLeftovers` first */
  constructor(state: string) {
    this.#state = state;
    this.#run = { up: findProcess('make up', process.pid) as RunningProcess, processes: [] };
    mkdirSync(state, { recursive: true });
    const draft = this.#draft();
    try {
      // A link fails where a rename would overwrite: of two that start at once, one holds the folder.
      linkSync(draft, pathOf(state));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const pid = findRun(state)?.up.pid;
      throw new AlreadyRunningError(`Loom runs already (make up, pid ${pid}). End it with: make down`, {
        cause: error,
      });
    } finally {
      rmSync(draft, { force: true });
    }
  }

  add(name: string, pid: number): void {
    const started = findProcess(name, pid);
    if (started) this.#write([...this.#run.processes, started]);
  }

  remove(pid: number): void {
    this.#write(this.#run.processes.filter((running) => running.pid !== pid));
  }

  close(): void {
    rmSync(pathOf(this.#state), { force: true });
  }

  #write(processes: RunningProcess[]): void {
    this.#run = { ...this.#run, processes };
    renameSync(this.#draft(), pathOf(this.#state));
  }

  #draft(): string {
    const path = `${pathOf(this.#state)}.${process.pid}`;
    writeFileSync(path, `${JSON.stringify(this.#run, null, 2)}\n`);
    return path;
  }
}

function pathOf(state: string): string {
  return join(state, 'up.json');
}
