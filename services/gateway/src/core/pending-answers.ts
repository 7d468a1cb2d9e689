import type { DataOf } from '@loom/shared/event.ts';

type Proposal = DataOf<'edits.proposed'>;

/** The questions that are open, by request and rewriter; each is answered at most once. */
export class PendingAnswers {
  readonly #open = new Map<string, (proposal: Proposal) => void>();

  /** Calls back with the rewriter's answer, once, unless it is withdrawn before. */
  open(requestId: string, rewriter: string, callback: (proposal: Proposal) => void): void {
    this.#open.set(key(requestId, rewriter), callback);
  }

  withdraw(requestId: string, rewriter: string): void {
    this.#open.delete(key(requestId, rewriter));
  }

  /** Whether somebody waited for this answer. */
  answer(proposal: Proposal): boolean {
    const id = key(proposal.requestId, proposal.rewriter);
    const callback = this.#open.get(id);
    this.#open.delete(id);
    callback?.(proposal);
    return callback !== undefined;
  }
}

function key(requestId: string, rewriter: string): string {
  return `${requestId} ${rewriter}`;
}
