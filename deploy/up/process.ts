import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** A process that can be told from a later one with the same pid. */
export interface RunningProcess {
  name: string;
  pid: number;
  /** Boot id and start time in clock ticks since then, as Linux has them under /proc. */
  started: string;
}

/** Names a process that runs now; undefined when there is none with this pid. */
export function findProcess(name: string, pid: number): RunningProcess | undefined {
  const started = startOf(pid);
  return started === undefined ? undefined : { name, pid, started };
}

/** Whether this very process still runs. A zombie does not. */
export function isRunning({ pid, started }: RunningProcess): boolean {
  return startOf(pid) === started;
}

/**
 * Ends processes that are not our children: SIGTERM, then SIGKILL for each one's whole group after the grace.
 *
 * @param graceMs how long they may drain, milliseconds
 */
export async function endProcesses(processes: RunningProcess[], graceMs: number): Promise<void> {
  for (const process of processes) if (isRunning(process)) signal(process.pid, 'SIGTERM');
  if (await haveEnded(processes, graceMs)) return;
  for (const process of processes) if (isRunning(process)) signal(-process.pid, 'SIGKILL');
  await haveEnded(processes, 5_000);
}

/** Waits until none of them runs; false when one still does after `withinMs`. */
export async function haveEnded(processes: RunningProcess[], withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (processes.some(isRunning)) {
    if (performance.now() > deadline) return false;
    await delay(20);
  }
  return true;
}

/** Sends a signal to a process, or with a negative pid to its group. One that has ended meanwhile is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function startOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    // No such process: the answer, not a fault.
    return undefined;
  }
  // proc(5): the name in parentheses may hold anything; after it come the state and, 19 fields on, the start time.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}/${fields[19]}`;
}
