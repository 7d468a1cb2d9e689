import type { Draft, LoomEvent } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import { editsProposed } from '@loom/shared/proposal.ts';
import type { PinnedPrompts } from './adapters/pinned-prompts.ts';
import type { PromptFolder } from './adapters/prompt-files.ts';
import type { Signature } from './core/packs.ts';
import { rewriteCompaction } from './core/rewrite.ts';

/** What a proposal is made from. */
export interface Sources {
  prompts: Pick<PromptFolder, 'find'>;
  pinned: PinnedPrompts;
  signatures: Signature[];
  log: Logger;
}

/**
 * Answers a request: joins prompts, signatures and the session's record to the decision in `core/`.
 *
 * A compaction that is rewritten pins its prompts to the session, and the continuation after it uses those: an edited
 * prompt file takes effect at the next compaction.
 */
export async function propose(
  { subject: session, data }: LoomEvent<'request.received'>,
  { prompts, pinned, signatures, log }: Sources,
): Promise<Draft[]> {
  const { requestId, profile } = data;
  const current = prompts.find(profile);
  if (!current) return [editsProposed(data, [])];

  const record = session ? await pinned.find(session) : undefined;
  const voices = { current, pinned: record?.profile === profile ? record : undefined };
  const { edits, found, unrecognised } = rewriteCompaction(data, voices, signatures);
  const answer = editsProposed(data, edits);
  const fields = { session, requestId, profile, class: data.class, labels: found, edits: edits.length };

  if (unrecognised !== undefined) {
    log.warn('a compaction is not recognised', { ...fields, reason: unrecognised.reason });
    return [answer, { type: 'compaction.unrecognised', subject: session, data: { requestId, ...unrecognised } }];
  }
  if (edits.length > 0) log.info('the persona speaks for itself', fields);
  if (session && data.class === 'compaction') await pinned.pin(session, current);
  return [answer];
}
