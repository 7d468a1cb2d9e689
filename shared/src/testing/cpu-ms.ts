/**
 * The CPU time that an action takes, milliseconds: what else the machine does hardly counts. For claims that hostile
 * input does not cost more than its length, with a bound far above what it takes and far below what a square would.
 *
 * @example
 * expect(cpuMs(() => scan('['.repeat(1_000_000)))).toBeLessThan(5_000);
 */
export function cpuMs(action: () => void): number {
  const before = process.cpuUsage();
  action();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}
