import type { RequestClass } from '@loom/shared/event.ts';
import { anchorsOf, type Sha256 } from './anchor.ts';
import { type Block, type BodyTree, keptBlocks, keptMessages, type Message } from './body-tree.ts';
import { effectiveText, isTypedText, withoutReminders } from './human-text.ts';
import type { Placed } from './messages-request.ts';
import { newestMessage } from './request-class.ts';

/** `!command`: the user ran it in the client, and the model is asked about its output. */
const COMMAND_OPENING = '<bash-input>';
/** What a hook says that lets the model go on: the turn is the same. */
const FEEDBACK_OPENING = 'Stop hook feedback:';

/** The newest message by which a person began a turn. */
export interface Opening {
  message: Message;
  /** Nothing came after it: the request begins the turn, or tries it again. */
  isNewest: boolean;
  /** In a compaction, the instruction: it is nobody's word. */
  instruction: Block | undefined;
}

/**
 * Finds what began the turn that a request is in: the newest prompt or `!command`. Tool results, reminders, continuations
 * and a compaction's instruction begin none.
 */
export function findOpening(tree: BodyTree, requestClass: RequestClass): Opening | undefined {
  const newest = newestMessage(tree);
  const instruction = requestClass === 'compaction' ? lastText(newest) : undefined;
  const message = keptMessages(tree).findLast((candidate) => opensTurn(tree, candidate, instruction));
  return message && { message, isNewest: message === newest, instruction };
}

/** The opening's anchor: the same in every request of the turn, and in a compaction that was given its prompt. */
export function openingAnchor(
  tree: BodyTree,
  { message, instruction }: Opening,
  session: string,
  placed: Placed,
  sha256: Sha256,
): string | undefined {
  const known = instruction ? undefined : placed.anchors.get(message);
  return known ?? anchorsOf(tree, session, sha256, instruction).get(message);
}

function opensTurn(tree: BodyTree, message: Message, instruction: Block | undefined): boolean {
  if (message.role !== 'user' || !message.content) return false;
  const blocks = keptBlocks(message.content);
  if (blocks.some(({ type }) => type === 'tool_result')) return false;
  return blocks.some((block) => {
    const text = block === instruction ? '' : withoutReminders(effectiveText(tree, block) ?? '');
    return (isTypedText(text) && !text.startsWith(FEEDBACK_OPENING)) || text.startsWith(COMMAND_OPENING);
  });
}

function lastText(message: Message | undefined): Block | undefined {
  if (message?.role !== 'user' || !message.content) return undefined;
  return keptBlocks(message.content).findLast(({ type }) => type === 'text');
}
