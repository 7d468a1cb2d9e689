import type { Block, BlockList, BodyTree, Message, Span } from './body-tree.ts';

/**
 * Saves the `cache_control` of a removed block: it moves to the nearest block before it that may carry one. Assistant
 * messages are nobody's to touch, and a block takes one marker only, so a marker that is there already stands for both.
 */
export function moveCacheControl(tree: BodyTree, list: BlockList, removed: Block): void {
  if (!removed.cacheControl) return;
  const target = blocksBefore(tree, list, removed).find((block) => !block.removed && !block.bytes && block.type !== '');
  if (target && !target.cacheControl) {
    const { start, end } = removed.cacheControl as Span;
    target.movedCacheControl ??= tree.bytes.subarray(start, end);
  }
}

/** The blocks before a block in the same list, and those of the messages before it; the nearest first. */
function blocksBefore(tree: BodyTree, list: BlockList, block: Block): Block[] {
  const same = list.blocks.slice(0, list.blocks.indexOf(block));
  const at = tree.messages.findIndex((message) => message.content === list);
  const earlier = tree.messages.slice(0, Math.max(at, 0)).filter(isEditable);
  return [...earlier.flatMap((message) => message.content?.blocks ?? []), ...same].toReversed();
}

/** Only these messages may be changed at all. */
export function isEditable(message: Message): boolean {
  return !message.removed && (message.role === 'user' || message.role === 'system');
}
