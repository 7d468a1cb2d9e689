import type { Entry } from './claim.ts';
import { capOf } from './event.ts';
import type { SealedEntry } from './streams.ts';

/**
 * The entry as it goes to the dead letters: its own fields, and behind them who gave up on it, when and why. `origin`
 * and `originid` say where it came from, so that it can be put back.
 */
export function deadLetter(key: string, entry: Entry, group: string, reason: string): SealedEntry {
  const { fields, deliveries, key: origin, id: originid } = entry;
  const obituary = { group, deliveries: String(deliveries), reason, origin, originid };
  return { key, keep: capOf('dead-letters'), fields: [...fields, ...Object.entries(obituary).flat()] };
}
