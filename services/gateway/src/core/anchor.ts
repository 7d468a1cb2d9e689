import { type Block, type BodyTree, keptMessages, type Message } from './body-tree.ts';
import { identifyingTexts } from './human-text.ts';

/** SHA-256 of a text (UTF-8) or bytes, hex. */
export type Sha256 = (data: string | Uint8Array) => string;

/**
 * Names the user messages of a conversation: anchor(n) = sha256(anchor(n-1) + text of message n), from the session id.
 *
 * Equal anchors mean an equal conversation up to there, as far as people wrote it, which is the condition under which a
 * prompt cache can hit. Messages without text of their own (tool results, assistant, `role: system`) have none.
 *
 * @param ignored a block that is to count as if it were not there
 */
export function anchorsOf(tree: BodyTree, session: string, sha256: Sha256, ignored?: Block): Map<Message, string> {
  const anchors = new Map<Message, string>();
  let anchor = sha256(session);
  for (const message of keptMessages(tree)) {
    const text = identifyingTexts(tree, message, ignored).join('\n');
    if (text === '') continue;
    anchor = sha256(`${anchor}\n${text}`);
    anchors.set(message, anchor);
  }
  return anchors;
}

const MAX_MERGED_TEXTS = 20;

/**
 * The anchors that messages had before a client merged them: after a turn that failed or was aborted it sends its prompt
 * again in front of the next one, as one message. What was put behind the first prompt belongs behind both.
 *
 * @param anchors of the same tree, in order
 */
export function mergedAnchorsOf(
  tree: BodyTree,
  session: string,
  anchors: Map<Message, string>,
  sha256: Sha256,
): Map<Message, string[]> {
  const merged = new Map<Message, string[]>();
  let previous = sha256(session);
  for (const [message, anchor] of anchors) {
    const texts = identifyingTexts(tree, message).slice(0, MAX_MERGED_TEXTS);
    const heads = texts.slice(1).map((_, index) => texts.slice(0, index + 1).join('\n'));
    if (heads.length > 0)
      merged.set(
        message,
        heads.map((head) => sha256(`${previous}\n${head}`)),
      );
    previous = anchor;
  }
  return merged;
}
