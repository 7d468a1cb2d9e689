import type { EditOutcome } from './event.ts';

/**
 * What a request's span says of one rewriter: what it was asked for, what became of its edits, and the bytes of the texts
 * that they changed, before and after.
 *
 * @example
 * editAttributes({ rewriter: 'scribe', outcome: 'applied', labels: ['human'], bytesBefore: 0, bytesAfter: 17, … });
 * // { 'loom.edit.scribe': 'applied', 'loom.edit.scribe.labels': ['human'], 'loom.edit.scribe.bytes_before': 0, … }
 */
export function editAttributes(edit: EditOutcome): Record<string, string | number | string[]> {
  const { rewriter, outcome, labels, bytesBefore, bytesAfter } = edit;
  const name = `loom.edit.${rewriter}`;
  return {
    [name]: outcome,
    ...(labels && { [`${name}.labels`]: labels }),
    ...(bytesBefore !== undefined && { [`${name}.bytes_before`]: bytesBefore }),
    ...(bytesAfter !== undefined && { [`${name}.bytes_after`]: bytesAfter }),
  };
}
