import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** The CPU time of a process' threads so far, microseconds: by the scheduler's own account, which is in nanoseconds. */
export function cpuUs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const spent = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]),
  );
  return spent.reduce((sum, ns) => sum + ns / 1_000, 0);
}

/** Memory of a process, MB: now, or the most since `resetPeak`. */
export function rssMb(pid: number, of: 'now' | 'peak'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const line = of === 'now' ? /VmRSS:\s+(\d+) kB/ : /VmHWM:\s+(\d+) kB/;
  return Number(line.exec(status)?.[1]) / 1_024;
}

/** From here on the peak counts anew; proc(5), clear_refs. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}
