import { LRUCache } from 'lru-cache';
import { type AcceptMetadata, findHookPieces, findQuotedPieces, type HookPieces } from './hook-pieces.ts';
import { decodeToken } from './json-text.ts';

/** A text that holds the canary, and what of it is our hook's. */
export interface HookText {
  text: string;
  pieces: HookPieces;
}

export interface HookTextTraits {
  /** Of the message that it stands in. */
  role: string;
  /** The client quotes a conversation here. */
  isQuoting: boolean;
  accept: AcceptMetadata;
}

const NO_TEXT: HookText = { text: '', pieces: { found: [], cuts: [] } };
const MAX_KEPT_BYTES = 2_097_152;
/** A hook says 10,000 characters at most; what is longer is seldom, and read anew. */
const MAX_TOKEN_BYTES = 16_384;
/** History comes back with every request: what was read before, by whom it was accepted, as its bytes stand there. */
const read = new WeakMap<AcceptMetadata, LRUCache<string, HookText>>();

/**
 * Reads a text with the canary in it. The same bytes in the same place give the same result, which is shared: nobody may
 * change it.
 *
 * @param token the string token, quotes included
 */
export function readHookText(token: Buffer, { role, isQuoting, accept }: HookTextTraits): HookText {
  if (token.length > MAX_TOKEN_BYTES) return parse(token, role, isQuoting, accept);
  let known = read.get(accept);
  if (!known) {
    known = new LRUCache({ maxSize: MAX_KEPT_BYTES, sizeCalculation: (_, key) => key.length });
    read.set(accept, known);
  }
  const key = `${role === 'system'} ${isQuoting} ${token.toString('latin1')}`;
  const before = known.get(key);
  if (before) return before;
  const hookText = parse(token, role, isQuoting, accept);
  known.set(key, hookText);
  return hookText;
}

function parse(token: Buffer, role: string, isQuoting: boolean, accept: AcceptMetadata): HookText {
  const text = decodeToken(token, { start: 0, end: token.length });
  if (text === undefined) return NO_TEXT;
  const pieces = findHookPieces(text, role, accept);
  if (pieces.found.length > 0 || !isQuoting) return { text, pieces };
  return { text, pieces: { found: [], cuts: findQuotedPieces(text, accept) } };
}
