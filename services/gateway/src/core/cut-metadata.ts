import { CANARY, type Metadata } from '@loom/shared/metadata.ts';
import { type Block, type BlockList, type BodyTree, keptBlocks, type Message, type Span } from './body-tree.ts';
import { moveCacheControl } from './cache-control.ts';
import { type AcceptMetadata, findHookPieces, type HookPieces, withoutCuts } from './hook-pieces.ts';
import { decodeToken, encodeToken, textOffsets } from './json-text.ts';

export interface CutResult {
  /** Blocks that were cut, the history's included. */
  blocks: number;
  /** The newest of them: the current turn's identity. */
  newest: Metadata | undefined;
  /** The message that the newest one stood in, or that it followed. */
  newestMessage: Message | undefined;
}

interface Hit {
  block: Block;
  text: string;
  pieces: HookPieces;
}

/** What stands in for a request's only text when that was nothing but hook output: the API refuses empty messages. */
const PLACEHOLDER = '(hook context)';

/**
 * Marks every metadata block of the request for cutting: the hook's piece, the wrapper or block that it leaves empty, the
 * message that is empty afterwards. A `cache_control` of a removed block moves to the block before it.
 *
 * It is a pure function of each message, so the forwarded form of a message is the same in every later request.
 */
export function cutMetadata(tree: BodyTree, accept: AcceptMetadata): CutResult {
  const result: CutResult = { blocks: 0, newest: undefined, newestMessage: undefined };
  const bytes = tree.bytes as Buffer;
  let hit = bytes.indexOf(CANARY);
  if (hit < 0) return result;

  const hitsOf = new Map<Message, Hit[]>();
  for (const message of tree.messages) {
    while (hit >= 0 && hit < message.start) hit = bytes.indexOf(CANARY, message.start);
    if (hit < 0) break;
    if (hit >= message.end || message.role === 'assistant') continue;
    const hits = hitsIn(message, bytes, accept);
    if (hits.length > 0) hitsOf.set(message, hits);
  }

  for (const [message, hits] of hitsOf) {
    const next = tree.messages[tree.messages.indexOf(message) + 1];
    for (const found of genuine(message, hits, next ? hitsOf.get(next) : undefined)) {
      cut(tree, message, found);
      result.blocks += found.pieces.found.length;
      result.newest = found.pieces.found.at(-1);
      result.newestMessage = message;
    }
  }
  keepOneMessage(tree);
  return result;
}

function hitsIn(message: Message, bytes: Buffer, accept: AcceptMetadata): Hit[] {
  const hits: Hit[] = [];
  for (const block of message.content?.blocks ?? []) {
    if (block.type !== 'text' || !block.text) continue;
    const at = bytes.indexOf(CANARY, block.text.start);
    if (at < 0 || at >= block.text.end) continue;
    const text = decodeToken(bytes, block.text);
    if (text === undefined) continue;
    const pieces = findHookPieces(text, message.role, accept);
    if (pieces.found.length > 0) hits.push({ block, text, pieces });
  }
  return hits;
}

/**
 * Drops the text of a user who pasted a whole block, wrapper included, as a prompt: it stands where the prompt stands,
 * and the hook's own block for that prompt stands beside it. Clients from 2.0 put hooks before the prompt, 1.0 behind it,
 * the newest in a `role: system` message that follows.
 */
function genuine(message: Message, hits: Hit[], hitsOfNext: Hit[] | undefined): Hit[] {
  if (message.role !== 'user') return hits;
  if (hitsOfNext) return [];
  if (hits.length < 2) return hits;
  const texts = (message.content?.blocks ?? []).filter((block) => block.type === 'text');
  const last = hits.at(-1) as Hit;
  if (last.block !== texts.at(-1)) return hits;
  if (last.text.trimStart().startsWith('<user-prompt-submit-hook>')) return [last];
  return hits.slice(0, -1);
}

function cut(tree: BodyTree, message: Message, { block, text, pieces }: Hit): void {
  if (withoutCuts(text, pieces.cuts).trim() !== '') {
    const offsets = textOffsets(tree.bytes, block.text as Span);
    block.cuts = pieces.cuts.map(({ start, end }) => ({
      start: offsets[start] as number,
      end: offsets[end] as number,
    }));
    return;
  }
  const list = message.content as BlockList;
  block.removed = true;
  message.removed = keptBlocks(list).length === 0;
  moveCacheControl(tree, list, block);
}

/** A request without messages is refused by the API: the last message then stays, with a word in place of its text. */
function keepOneMessage(tree: BodyTree): void {
  if (tree.messages.length === 0 || tree.messages.some((message) => !message.removed)) return;
  const last = tree.messages.at(-1) as Message;
  const block = last.content?.blocks.find((candidate) => candidate.type === 'text');
  if (!block) return;
  last.removed = false;
  block.removed = false;
  block.newText = encodeToken(PLACEHOLDER);
}
