/** What was measured at a time: seconds since the soak began, and a value. */
export interface Point {
  s: number;
  value: number;
}

/** How a series goes: values per hour, with the 95 % confidence interval of that. */
export interface Trend {
  perHour: number;
  low: number;
  high: number;
}

const Z_95 = 1.96;

/**
 * The median of the slopes between all pairs of points (Theil, Sen), which single outliers do not move; its confidence
 * interval is Sen's, from the variance of Kendall's tau. Undefined for fewer than five points.
 *
 * @example
 * trendOf([0, 1, 2, 3, 4].map((s) => ({ s, value: s }))); // { perHour: 3600, low: 3600, high: 3600 }
 */
export function trendOf(points: readonly Point[]): Trend | undefined {
  const n = points.length;
  if (n < 5) return undefined;
  const slopes: number[] = [];
  for (const [index, { s, value }] of points.entries())
    for (const later of points.slice(index + 1)) if (later.s > s) slopes.push((later.value - value) / (later.s - s));
  slopes.sort((a, b) => a - b);
  const pairs = slopes.length;
  const spread = Z_95 * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18);
  const at = (rank: number) => 3_600 * (slopes[Math.min(pairs - 1, Math.max(0, rank))] ?? 0);
  return {
    perHour: (at(Math.floor((pairs - 1) / 2)) + at(Math.ceil((pairs - 1) / 2))) / 2,
    low: at(Math.floor((pairs - spread) / 2)),
    high: at(Math.ceil((pairs + spread) / 2)),
  };
}

export type Verdict = 'flat' | 'grows' | 'too few points';

/**
 * Whether a series grows: even the low end of its slope, over the time that was measured, is more than what a process
 * that leaks nothing may move by.
 *
 * @param tolerance in the series' unit, over the whole time
 */
export function judge(points: readonly Point[], tolerance: number): { verdict: Verdict; trend?: Trend } {
  const trend = trendOf(points);
  if (!trend) return { verdict: 'too few points' };
  const hours = ((points.at(-1)?.s ?? 0) - (points[0]?.s ?? 0)) / 3_600;
  return { verdict: trend.low * hours > tolerance ? 'grows' : 'flat', trend };
}
