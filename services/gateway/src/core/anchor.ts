import { type BodyTree, keptMessages, type Message } from './body-tree.ts';
import { identifyingText } from './human-text.ts';

/** SHA-256 of a text (UTF-8) or bytes, hex. */
export type Sha256 = (data: string | Uint8Array) => string;

/**
 * Names the user messages of a conversation: anchor(n) = sha256(anchor(n-1) + text of message n), from the session id.
 *
 * Equal anchors mean an equal conversation up to there, as far as people wrote it, which is the condition under which a
 * prompt cache can hit. Messages without text of their own (tool results, assistant, `role: system`) have none.
 */
export function anchorsOf(tree: BodyTree, session: string, sha256: Sha256): Map<Message, string> {
  const anchors = new Map<Message, string>();
  let anchor = sha256(session);
  for (const message of keptMessages(tree)) {
    const text = identifyingText(tree, message);
    if (text === '') continue;
    anchor = sha256(`${anchor}\n${text}`);
    anchors.set(message, anchor);
  }
  return anchors;
}
