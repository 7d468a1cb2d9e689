import { CANARY, type Metadata } from '@loom/shared/metadata.ts';
import { type Block, type BlockList, type BodyTree, keptBlocks, type Message, type Span } from './body-tree.ts';
import { moveCacheControls } from './cache-control.ts';
import { type AcceptMetadata, withoutCuts } from './hook-pieces.ts';
import { type HookText, readHookText } from './hook-text.ts';
import { encodeToken, textOffsets } from './json-text.ts';
import { isBackgroundCall } from './request-class.ts';

export interface CutResult {
  /** Blocks that were cut, the history's included. */
  blocks: number;
  /** The newest of them: the current turn's identity. */
  newest: Metadata | undefined;
  /** The message that the newest one stood in, or that it followed. */
  newestMessage: Message | undefined;
}

/** A prompt that is at least this long may have been shortened by the hook; by then no two texts are alike. Characters. */
const SHORTENED_LENGTH = 1_000;

interface Hit extends HookText {
  block: Block;
}

/**
 * What stands in for a user's first message that was nothing but hook output: the API refuses a conversation without
 * one. A reminder, so that nobody takes it for something typed.
 */
const PLACEHOLDER = '<system-reminder>hook context</system-reminder>';

/**
 * Marks every metadata block of the request for cutting: the hook's piece, the wrapper or block that it leaves empty, the
 * message that is empty afterwards. A `cache_control` of a removed block moves to its neighbour.
 *
 * It is a pure function of each message (and of the `role: system` message that the client sends with it), so the
 * forwarded form of a message is the same in every later request.
 */
export function cutMetadata(tree: BodyTree, accept: AcceptMetadata): CutResult {
  const result: CutResult = { blocks: 0, newest: undefined, newestMessage: undefined };
  const hitsOf = findHits(tree, accept);
  const removed: { list: BlockList; block: Block }[] = [];
  for (const [index, hits] of hitsOf) {
    const message = tree.messages[index] as Message;
    const isFollowedByHooks = tree.messages[index + 1]?.role === 'system' && hitsOf.has(index + 1);
    for (const hit of genuine(message, hits, isFollowedByHooks)) {
      cut(tree, hit);
      if (hit.block.removed) removed.push({ list: message.content as BlockList, block: hit.block });
      const { found, cuts } = hit.pieces;
      result.blocks += found.length || cuts.length;
      if (found.length === 0) continue;
      result.newest = found.at(-1);
      result.newestMessage = message;
    }
    message.removed = keptBlocks(message.content as BlockList).length === 0;
  }
  keepOpening(tree);
  moveCacheControls(tree, removed);
  return result;
}

/** The texts with blocks in them, by the index of their message. */
function findHits(tree: BodyTree, accept: AcceptMetadata): Map<number, Hit[]> {
  const hitsOf = new Map<number, Hit[]>();
  let isQuoting: boolean | undefined;
  for (const [index, { role, content }] of tree.messages.entries()) {
    if (role === 'assistant') continue;
    const hits: Hit[] = [];
    for (const block of content?.blocks ?? []) {
      // What tools gave back, most of a body, is not even looked at.
      if (block.type !== 'text' || !block.text) continue;
      const token = tree.bytes.subarray(block.text.start, block.text.end) as Buffer;
      if (!token.includes(CANARY)) continue;
      isQuoting ??= isBackgroundCall(tree);
      const { text, pieces } = readHookText(token, { role, isQuoting, accept });
      if (pieces.cuts.length > 0) hits.push({ block, text, pieces });
    }
    if (hits.length > 0) hitsOf.set(index, hits);
  }
  return hitsOf;
}

/**
 * Drops the text of a user who pasted a whole block, wrapper included, as a prompt: the hook's own block, beside it, says
 * that it was typed. Where it does not say so, the place tells: the newest clients put hooks into the `role: system`
 * message that follows, those from 2.0 in front of the prompt, 1.0 behind it.
 */
function genuine(message: Message, hits: Hit[], isFollowedByHooks: boolean): Hit[] {
  if (message.role !== 'user') return hits;
  if (isFollowedByHooks) return [];
  const others = withoutTyped(hits);
  if (others.length < hits.length) return others;

  const texts = (message.content?.blocks ?? []).filter(({ type }) => type === 'text');
  if (hits.every(({ text }) => text.trimStart().startsWith('<user-prompt-submit-hook>'))) return closing(hits, texts);
  return hits.length > 1 && hits.at(-1)?.block === texts.at(-1) ? hits.slice(0, -1) : hits;
}

/** The hook's blocks where each closes its turn: what stands right before one is what was typed. */
function closing(hits: Hit[], texts: Block[]): Hit[] {
  const next = new Map(texts.map((block, index) => [block, texts[index + 1]]));
  /** The last one first. */
  const kept: Hit[] = [];
  for (const hit of hits.toReversed()) {
    const behind = next.get(hit.block);
    if (!behind || behind !== kept.at(-1)?.block) kept.push(hit);
  }
  return kept.toReversed();
}

/** Without those whose text is the prompt, as another one's block says; long prompts are shortened, and 2.1.330 escapes one tag. */
function withoutTyped(hits: Hit[]): Hit[] {
  const sayers = new Map<string, Set<Hit>>();
  for (const hit of hits) {
    for (const { prompt } of hit.pieces.found) {
      const said = prompt?.replaceAll('&lt;/system-reminder>', '</system-reminder>').trim();
      if (said !== undefined) sayers.set(said, (sayers.get(said) ?? new Set<Hit>()).add(hit));
    }
  }
  const shortened = [...sayers].filter(([said]) => said.length >= SHORTENED_LENGTH);
  const hasOther = (all: Set<Hit> | undefined, hit: Hit) => all !== undefined && all.size > (all.has(hit) ? 1 : 0);
  return hits.filter((hit) => {
    const typed = hit.text.trim();
    if (hasOther(sayers.get(typed), hit)) return false;
    return !shortened.some(([said, all]) => typed.startsWith(said) && hasOther(all, hit));
  });
}

function cut(tree: BodyTree, { block, text, pieces }: Hit): void {
  if (withoutCuts(text, pieces.cuts).trim() !== '') {
    const offsets = textOffsets(tree.bytes, block.text as Span);
    block.cuts = pieces.cuts.map(({ start, end }) => ({
      start: offsets[start] as number,
      end: offsets[end] as number,
    }));
    return;
  }
  block.removed = true;
}

/** The API refuses a conversation that does not begin with a user's message: that one then stays. */
function keepOpening(tree: BodyTree): void {
  const first = tree.messages.findIndex(({ removed }) => !removed);
  const gone = tree.messages.slice(0, first < 0 ? undefined : first);
  if (tree.messages[first]?.role === 'user') return;
  const opening = gone.findLast(({ role }) => role === 'user') ?? (first < 0 ? gone.at(-1) : undefined);
  const block = opening?.content?.blocks.findLast(({ type }) => type === 'text');
  if (!opening || !block) return;
  opening.removed = false;
  block.removed = false;
  block.newText = encodeToken(PLACEHOLDER);
}
