/**
 * How figures read in Loom's lines for people.
 *
 * @example
 * counted(2, 'call'); // '2 calls'
 */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Each name once, with how often it comes: `Bash, Read ×2`. */
export function tally(names: readonly string[]): string {
  const counts = Map.groupBy(names, (name) => name);
  return [...counts].map(([name, { length }]) => times(name, length)).join(', ');
}

/** A name and how often it comes, where that is more than once: `Read ×2`. */
export function times(name: string, count: number): string {
  return count === 1 ? name : `${name} ×${count}`;
}

/** From 1,000 on in thousands: `999`, `12.4k`. */
export function thousands(count: number): string {
  return count < 1_000 ? String(count) : `${(count / 1_000).toFixed(1)}k`;
}

/** `12.4k in, 812 out`. */
export function tokensInOut(prompt: number, completion: number): string {
  return `${thousands(prompt)} in, ${thousands(completion)} out`;
}

/** The share of the tokens read that came from the cache: `['cache 93 %']`, or nothing when nothing was read. */
export function cacheShare(cacheRead: number, prompt: number): string[] {
  return prompt > 0 ? [`cache ${Math.round((cacheRead / prompt) * 100)} %`] : [];
}

/** `8.2 s` */
export function seconds(durationMs: number): string {
  return `${(durationMs / 1_000).toFixed(1)} s`;
}

/** `$0.12`, below a cent `$0.0042`; null is a price that nobody knows. */
export function dollars(usd: number | null): string {
  if (usd === null) return 'cost unknown';
  return `$${usd.toFixed(usd === 0 || usd >= 0.01 ? 2 : 4)}`;
}
