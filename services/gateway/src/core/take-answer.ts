import type { DataOf, RequestClass } from '@loom/shared/event.ts';
import type { Sha256 } from './anchor.ts';
import { applyEdits, type ShownBlocks } from './apply-edits.ts';
import type { BodyTree, Message } from './body-tree.ts';
import type { DurableEdit, LedgerEntry } from './ledger.ts';
import type { Question } from './match-wants.ts';

const MAX_REASON_CHARACTERS = 200;

/** What the answer was made for: the body as the event showed it. */
export interface Asking {
  bodySha256: string;
  shown: ShownBlocks;
  class: RequestClass;
  anchors: Map<Message, string>;
  sha256: Sha256;
}

/** What became of a rewriter's answer, and what the ledger is to remember of it. */
export interface Taken {
  outcome: 'applied' | 'none' | 'refused' | 'error';
  reason?: string;
  /** Of the texts that it changed; only where it was applied. */
  bytes?: { before: number; after: number };
  records: { anchor: string; entry: LedgerEntry }[];
}

/**
 * Applies one rewriter's answer to the tree, all of it or nothing.
 *
 * A message that it edited durably, or was asked about and left alone, is settled: it is not asked about again. An edit
 * that is not durable has to be made again in the next request, and a compaction that is repeated is asked about again.
 */
export function takeAnswer(
  tree: BodyTree,
  question: Question,
  proposal: DataOf<'edits.proposed'>,
  asking: Asking,
): Taken {
  if (proposal.error !== undefined) return { outcome: 'error', reason: shortened(proposal.error), records: [] };
  if (proposal.bodySha256 !== asking.bodySha256) {
    return { outcome: 'refused', reason: 'the answer is for another body', records: [] };
  }
  const { anchors, shown, sha256 } = asking;
  const { name: rewriter, order } = question.rewriter;
  const result = applyEdits(tree, proposal.edits, { rewriter, shown, anchors, sha256 });
  if (!result.applied) return { outcome: 'refused', reason: shortened(result.reason), records: [] };

  const durable = new Map<Message, DurableEdit[]>();
  for (const { message, edit } of result.durable) durable.set(message, [...(durable.get(message) ?? []), edit]);
  const records = [...new Set([...question.messages, ...durable.keys()])].flatMap((message) => {
    const anchor = anchors.get(message);
    const edits = durable.get(message) ?? [];
    const isSettled = edits.length > 0 || (!result.touched.has(message) && asking.class === 'main');
    return anchor && isSettled ? [{ anchor, entry: { rewriter, order, edits } }] : [];
  });
  const isChanged = proposal.edits.some(({ op }) => op !== 'test');
  return isChanged ? { outcome: 'applied', bytes: result.bytes, records } : { outcome: 'none', records };
}

/** A reason quotes what the rewriter wrote, which may be anything. */
function shortened(reason: string): string {
  return reason.slice(0, MAX_REASON_CHARACTERS).toWellFormed();
}
