import { compareIds } from '@loom/shared/entry-id.ts';
import type { Entry } from './entry.ts';

/**
 * Orders what one read of several streams gave, by entry id. A stream that gave as much as was asked for may hold more
 * before the last ids of the others: what lies behind it is left for the next read.
 *
 * @param limit how many entries of each stream were asked for
 *
 * @example
 * mergeBatches([requests, responses], 100); // both streams' entries, oldest first
 */
export function mergeBatches(batches: readonly Entry[][], limit: number): Entry[] {
  const ends = batches.flatMap((batch) => (batch.length < limit ? [] : [(batch.at(-1) as Entry).id]));
  const end = ends.sort(compareIds)[0];
  return batches
    .flat()
    .filter(({ id }) => end === undefined || compareIds(id, end) <= 0)
    .sort((left, right) => compareIds(left.id, right.id));
}
