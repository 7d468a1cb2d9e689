import { isAttribution } from './attribution.ts';
import type { Block, BlockList, BodyTree, Message } from './body-tree.ts';
import { CACHE_CONTROL_HEAD } from './splice.ts';

const CLOSE = Buffer.from('}');

/** The API refuses a request with more than four; each costs a walk through the conversation. */
const MAX_MOVED_MARKERS = 100;

/** Saves the `cache_control` of several blocks, all of which are marked as removed; see `moveCacheControl`. */
export function moveCacheControls(tree: BodyTree, removed: readonly { list: BlockList; block: Block }[]): void {
  const marked = removed.filter(({ block }) => block.cacheControl ?? block.movedCacheControl);
  for (const { list, block } of marked.slice(0, MAX_MOVED_MARKERS)) moveCacheControl(tree, list, block);
}

/**
 * Saves the `cache_control` of a removed block: it moves to the nearest block before it that may carry one, or, where
 * there is none, to the nearest behind it, and to one that was put in only where nothing else is left. Assistant messages
 * and the attribution block are nobody's to touch, and a block takes one marker only, so a marker that is there already
 * stands for both.
 */
export function moveCacheControl(tree: BodyTree, list: BlockList, removed: Block): void {
  const marker = markerOf(tree, removed);
  if (!marker) return;
  const blocks = blocksAround(tree, list);
  const at = blocks.indexOf(removed);
  const nearest = (canCarry: (block: Block) => boolean) =>
    blocks.slice(0, at).findLast(canCarry) ?? blocks.slice(at).find(canCarry);
  const isClients = (block: Block) =>
    !block.removed && !block.bytes && block.type !== '' && !(list === tree.system && isAttribution(tree, block));
  const target = nearest(isClients) ?? nearest((block) => !block.removed && block.bytes !== undefined);
  if (!target || markerOf(tree, target)) return;
  target.movedCacheControl = marker;
  // It is a text block that the gateway wrote: an object, without a space behind its last member.
  if (target.bytes) target.bytes = Buffer.concat([target.bytes.subarray(0, -1), CACHE_CONTROL_HEAD, marker, CLOSE]);
}

function markerOf(tree: BodyTree, { cacheControl, movedCacheControl }: Block): Uint8Array | undefined {
  return movedCacheControl ?? (cacheControl && tree.bytes.subarray(cacheControl.start, cacheControl.end));
}

/** The blocks of `system`, or of all messages that may be changed and of the one that has this content. */
function blocksAround(tree: BodyTree, list: BlockList): Block[] {
  if (list === tree.system) return list.blocks;
  const messages = tree.messages.filter((message) => message.content === list || isEditable(message));
  return messages.flatMap(({ content }) => content?.blocks ?? []);
}

/** Only these messages may be changed at all. */
export function isEditable(message: Message): boolean {
  return !message.removed && (message.role === 'user' || message.role === 'system');
}
