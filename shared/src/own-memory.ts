import { readFileSync } from 'node:fs';

/**
 * The memory that this process shares with no other, bytes. Node's own program, half of what a service seems to take, is
 * in memory once for all of them, and left out. Where the system does not tell (no Linux), all that the process has.
 */
export function ownMemoryBytes(): number {
  try {
    const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    if (kilobytes !== undefined) return Number(kilobytes) * 1_024;
  } catch {
    // No /proc here.
  }
  return process.memoryUsage.rss();
}
