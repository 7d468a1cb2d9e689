/** What one replica holds. */
export interface Share {
  held: number;
  /** The most that it can hold. */
  room: number;
}

/** So much more than its fair share a replica keeps: sessions come and go, and a move costs more than it saves. */
const TOLERANCE = 0.1;
/** The most that is handed over in one step. */
const MOST = 100;

/**
 * How many sessions a replica hands over now, so that after a few steps each holds about as many. Half of what is too
 * many at a time: the others' figures are a little old, and so nothing moves to and fro.
 *
 * @param others the replicas besides this one
 *
 * @example
 * surplusOf({ held: 150, room: 1_000 }, [{ held: 0, room: 1_000 }]); // 38
 */
export function surplusOf(own: Share, others: readonly Share[]): number {
  const fair = Math.ceil(sumOf([own, ...others].map(({ held }) => held)) / (others.length + 1));
  const surplus = own.held - fair;
  if (surplus <= fair * TOLERANCE) return 0;
  const spare = sumOf(others.map(({ held, room }) => Math.max(0, Math.min(fair, room) - held)));
  return Math.min(Math.ceil(surplus / 2), spare, MOST);
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
