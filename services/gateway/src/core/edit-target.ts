import { parsePointer } from '@loom/shared/edit.ts';
import type { BlockList, BodyTree, Message } from './body-tree.ts';
import { isEditable } from './cache-control.ts';

const INDEX = /^(?:0|[1-9]\d*)$/;

/** The edits break a rule of the contract; the message says which. */
export class Refused extends Error {}

/** What a pointer addresses: a block (or the place of one) in `system` or in a message's content, or a block's text. */
export interface Target {
  list: BlockList;
  /** Undefined for a block of `system`. */
  message: Message | undefined;
  /** An array index of RFC 6901, or `-`. */
  index: string;
  isText: boolean;
}

/**
 * Finds what a JSON Pointer addresses; throws Refused for anything that is not a rewriter's to edit.
 *
 * @param messages the messages as the event counted them
 * @example
 * findTarget(tree, keptMessages(tree), '/messages/2/content/0/text'); // { message, list, index: '0', isText: true }
 */
export function findTarget(tree: BodyTree, messages: Message[], path: string): Target {
  const [root, ...rest] = parsePointer(path);
  if (root === 'system' && tree.system) return inList(path, tree.system, undefined, rest);
  if (root !== 'messages') throw new Refused(`${path} is neither in system nor in a message`);
  const [index = '', member, ...more] = rest;
  const message = INDEX.test(index) ? messages[Number(index)] : undefined;
  if (!message) throw new Refused(`${path} names no message`);
  if (!isEditable(message)) throw new Refused(`${path} is in a message of role ${message.role}`);
  if (member !== 'content' || !message.content) throw new Refused(`${path} is not in a message's content`);
  return inList(path, message.content, message, more);
}

function inList(path: string, list: BlockList, message: Message | undefined, rest: string[]): Target {
  const [index = '', member, ...more] = rest;
  const isKnown = index === '-' || INDEX.test(index);
  if (!isKnown || more.length > 0 || (member !== undefined && member !== 'text'))
    throw new Refused(`${path} names no block or text`);
  return { list, message, index, isText: member === 'text' };
}
