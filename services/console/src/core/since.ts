/** Where to start reading: after an entry, or so many milliseconds ago. */
export type Since = { after: string } | { agoMs: number };

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads the value of `--since`; undefined when it is none.
 *
 * @example
 * findSince('10m'); // { agoMs: 600000 }
 * findSince('1760000000000-0'); // { after: '1760000000000-0' }
 */
export function findSince(text: string): Since | undefined {
  if (/^\d{1,16}-\d{1,16}$/.test(text)) return { after: text };
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  return count && unit ? { agoMs: Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS] } : undefined;
}

/**
 * The entry id to read after.
 *
 * @param now Redis' clock, Unix milliseconds: entry ids count by it
 */
export function idOf(since: Since, now: number): string {
  return 'after' in since ? since.after : `${Math.max(0, now - since.agoMs)}-0`;
}
