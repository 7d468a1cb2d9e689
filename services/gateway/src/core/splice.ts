import type { Block, BlockList, BodyTree, Element, Span } from './body-tree.ts';
import { keptBlocks } from './body-tree.ts';

/** Bytes to put in the place of a range of the body. */
export interface Splice extends Span {
  bytes: Uint8Array;
}

const NOTHING = new Uint8Array();
const ascii = (text: string) => Buffer.from(text, 'latin1');
const COMMA = ascii(',');
const TEXT_BLOCK_HEAD = ascii('{"type":"text","text":');
export const CACHE_CONTROL_HEAD = ascii(',"cache_control":');

/** A body in pieces: slices of the client's bytes and what was put between them; nothing is copied. */
export type BodyParts = readonly Uint8Array[];

/** Renders a tree: the very same buffer where nothing is changed, else every byte outside the changes as it was. */
export function renderParts(tree: BodyTree): BodyParts {
  return spliceParts(tree.bytes, splicesOf(tree));
}

/** Renders a tree as one buffer. */
export function renderBody(tree: BodyTree): Uint8Array {
  return applySplices(tree.bytes, splicesOf(tree));
}

/** The length of a body, bytes. */
export function lengthOf(parts: BodyParts): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** A body in slices of at most so many bytes, in order, each in pieces as the body is; nothing is copied. */
export function* slicesOf(parts: BodyParts, maxBytes: number): Generator<BodyParts, void> {
  let slice: Uint8Array[] = [];
  let room = maxBytes;
  for (const part of parts)
    for (let at = 0; at < part.length; ) {
      const piece = part.subarray(at, at + room);
      slice.push(piece);
      at += piece.length;
      room -= piece.length;
      if (room > 0) continue;
      yield slice;
      slice = [];
      room = maxBytes;
    }
  if (slice.length > 0) yield slice;
}

/** Applies splices that do not overlap, in any order; without any, the same buffer comes back. */
export function applySplices(bytes: Uint8Array, splices: Splice[]): Uint8Array {
  return splices.length === 0 ? bytes : Buffer.concat(spliceParts(bytes, splices));
}

function spliceParts(bytes: Uint8Array, splices: Splice[]): Uint8Array[] {
  const sorted = splices.toSorted((a, b) => a.start - b.start || a.end - b.end);
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const { start, end, bytes: replacement } of sorted) {
    if (start < at) throw new RangeError(`expected splices that do not overlap, got one at ${start} behind ${at}`);
    parts.push(bytes.subarray(at, start), replacement);
    at = end;
  }
  parts.push(at === 0 ? bytes : bytes.subarray(at));
  return parts.filter((part) => part.length > 0);
}

/** The changes of a tree as splices of its bytes. */
export function splicesOf(tree: BodyTree): Splice[] {
  const splices = listSplices(tree.messages, tree.messagesSpan);
  for (const message of tree.messages) {
    if (!message.removed && message.content) splices.push(...contentSplices(message.content));
  }
  if (tree.system) splices.push(...contentSplices(tree.system));
  return splices;
}

function contentSplices(list: BlockList): Splice[] {
  if (list.isString) return stringContentSplices(list);
  const splices = listSplices(list.blocks, list);
  for (const block of list.blocks) {
    if (block.removed || block.bytes) continue;
    splices.push(...textSplices(block));
    if (block.movedCacheControl) {
      const bytes = Buffer.concat([CACHE_CONTROL_HEAD, block.movedCacheControl]);
      splices.push({ start: block.end - 1, end: block.end - 1, bytes });
    }
  }
  return splices;
}

/** String content stays a string as long as it can: only a second block or a cache marker makes it a list. */
function stringContentSplices(list: BlockList): Splice[] {
  const own = list.blocks.find((block) => !block.bytes) as Block;
  const staysString = list.blocks.length === 1 && !own.removed && !own.movedCacheControl;
  const splices = own.removed ? [] : textSplices(own);
  if (staysString) return splices;

  const kept = keptBlocks(list);
  const place = own.removed ? kept.length : kept.indexOf(own);
  const before = kept.slice(0, place).flatMap((block) => [block.bytes as Uint8Array, COMMA]);
  const after = kept.slice(place + 1).flatMap((block) => [COMMA, block.bytes as Uint8Array]);
  if (own.removed) {
    const bytes = Buffer.concat([ascii('['), ...before.slice(0, -1), ascii(']')]);
    return [{ start: list.start, end: list.end, bytes }];
  }
  const marker = own.movedCacheControl ? [CACHE_CONTROL_HEAD, own.movedCacheControl] : [];
  const head = Buffer.concat([ascii('['), ...before, TEXT_BLOCK_HEAD]);
  const tail = Buffer.concat([...marker, ascii('}'), ...after, ascii(']')]);
  splices.push({ start: list.start, end: list.start, bytes: head }, { start: list.end, end: list.end, bytes: tail });
  if (!own.newText) return splices;
  // Replaced as a whole: one splice, or head and replacement would contend for the same first byte.
  return [{ start: list.start, end: list.end, bytes: Buffer.concat([head, own.newText, tail]) }];
}

function textSplices(block: Block): Splice[] {
  if (block.newText && block.text) return [{ ...block.text, bytes: block.newText }];
  return block.cuts.map((cut) => ({ ...cut, bytes: NOTHING }));
}

/** Removes and inserts elements of an array together with one comma each. */
function listSplices(elements: Element[], array: Span): Splice[] {
  const originals = elements.filter((element) => !element.bytes);
  const splices: Splice[] = [];

  let keptBefore = false;
  for (const [index, element] of originals.entries()) {
    if (!element.removed) {
      keptBefore = true;
      continue;
    }
    const previous = originals[index - 1];
    const next = originals[index + 1];
    if (keptBefore && previous) splices.push({ start: previous.end, end: element.end, bytes: NOTHING });
    else splices.push({ start: element.start, end: next?.start ?? element.end, bytes: NOTHING });
  }

  const firstKept = originals.find((element) => !element.removed);
  let leading: Uint8Array[] = [];
  let lastKept: Element | undefined;
  for (const element of elements) {
    if (element.bytes && !element.removed) {
      if (lastKept)
        splices.push({ start: lastKept.end, end: lastKept.end, bytes: Buffer.concat([COMMA, element.bytes]) });
      else leading.push(element.bytes);
    } else if (!element.removed) {
      lastKept = element;
    }
  }
  if (leading.length > 0) {
    leading = leading.flatMap((bytes, index) => (index === 0 ? [bytes] : [COMMA, bytes]));
    if (firstKept) leading.push(COMMA);
    const start = firstKept?.start ?? originals[0]?.start ?? array.start + 1;
    splices.push({ start, end: start, bytes: Buffer.concat(leading) });
  }
  return splices;
}
