import type { Edit } from './edit.ts';
import { type DataOf, type Draft, InvalidEventError, type LoomEvent } from './event.ts';

/**
 * A rewriter's answer to a request that awaits it. Who answers, and in which session, is filled in by the run loop,
 * which alone knows.
 *
 * @param error says that the rewriter failed: the request then goes on at once
 *
 * @example
 * on: { 'request.received': ({ data }) => [editsProposed(data, rewrite(data.view))] }
 */
export function editsProposed(data: DataOf<'request.received'>, edits: Edit[], error?: string): Draft {
  const { requestId, replyStream, body } = data;
  if (!body.sha256)
    throw new InvalidEventError(`expected body.sha256 in ${requestId}, which awaits an answer, got none`);
  const answer = { requestId, rewriter: '', replica: '', bodySha256: body.sha256, edits };
  const said = error === undefined ? answer : { ...answer, error };
  return { type: 'edits.proposed', subject: '', stream: replyStream, data: said };
}

/** Puts the name of the one who answers, and the session of the question, to a proposal; other drafts stay as they are. */
export function signProposal(draft: Draft, event: LoomEvent, signature: { rewriter: string; replica: string }): Draft {
  if (draft.type !== 'edits.proposed') return draft;
  return { ...draft, subject: event.subject, data: { ...draft.data, ...signature } };
}
