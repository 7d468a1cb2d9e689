import { anchorsOf, mergedAnchorsOf, type Sha256 } from './anchor.ts';
import { isContinued } from './human-text.ts';
import type { Headers } from './identity.ts';
import type { ReadRequest } from './messages-request.ts';
import type { TurnRecord } from './turn-record.ts';

/**
 * Whether a request that looks like a turn is a subagent's: clients before 2.1 do not mark those, but a conversation in
 * which none of the session's turns took place is another one. After a compaction nobody can tell.
 */
export function isStranger(
  { tree, session, metadata }: ReadRequest,
  headers: Headers,
  turns: TurnRecord[],
  sha256: Sha256,
): boolean {
  const isOldClient =
    headers['x-claude-code-session-id'] === undefined && String(headers['user-agent']).startsWith('claude-cli/');
  const known = new Set(turns.flatMap(({ anchor }) => anchor ?? []));
  if (!isOldClient || !tree || !session || metadata || known.size === 0 || isContinued(tree)) return false;
  const anchors = anchorsOf(tree, session, sha256);
  const merged = mergedAnchorsOf(tree, session, anchors, sha256);
  return ![...anchors.values(), ...[...merged.values()].flat()].some((anchor) => known.has(anchor));
}
