import type { Span } from './body-tree.ts';
import { omission } from './redactor.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Each costs a search, and all of them are looked for: some 2 ms. */
const MAX_ESCAPED_QUOTES = 50_000;

export interface ShortenedJson {
  json: string;
  /** The strings that were shortened, by what they begin with now: where their token lies in the bytes. */
  shortened: Map<string, Span>;
}

/**
 * Copies JSON with its long strings cut short, so that it can be parsed without a look at all of it: a tool may have
 * returned 10 MB. Undefined where it is too large all the same, or has too many quotes to look behind.
 *
 * @param bytes one JSON value that is known to be whole
 * @param maxStringBytes how much of a string is kept, as it is written
 * @param maxBytes how large the copy may be
 */
export function shortenJson(bytes: Buffer, maxStringBytes: number, maxBytes: number): ShortenedJson | undefined {
  const shortened = new Map<string, Span>();
  const parts: Buffer[] = [];
  let size = 0;
  let at = 0;
  for (let start = bytes.indexOf(QUOTE); start >= 0; start = bytes.indexOf(QUOTE, at)) {
    const end = stringEnd(bytes, start);
    if (end === undefined) return undefined;
    let part = bytes.subarray(at, end);
    if (end - start - 2 > maxStringBytes) {
      const cut = safeCut(bytes, start + 1, maxStringBytes);
      const ending = Buffer.from(`${omission(end - 1 - cut)}"`);
      part = Buffer.concat([bytes.subarray(at, cut), ending]);
      shortened.set(JSON.parse(part.toString('utf8', start - at)) as string, { start, end });
    }
    parts.push(part);
    size += part.length;
    if (size > maxBytes) return undefined;
    at = end;
  }
  const rest = bytes.subarray(at);
  if (size + rest.length > maxBytes) return undefined;
  return { json: Buffer.concat([...parts, rest]).toString(), shortened };
}

/** Behind the closing quote; undefined where that is too far away. */
function stringEnd(bytes: Buffer, start: number): number | undefined {
  let quote = bytes.indexOf(QUOTE, start + 1);
  for (let escaped = 0; escaped < MAX_ESCAPED_QUOTES; escaped++) {
    let backslashes = 0;
    while (quote - backslashes > start + 1 && bytes[quote - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote + 1;
    quote = bytes.indexOf(QUOTE, quote + 1);
  }
  return undefined;
}

/** A place in a string, at most so many bytes behind its start, that is neither in an escape nor in a character. */
function safeCut(bytes: Buffer, start: number, length: number): number {
  let at = start;
  for (let next = at; next <= start + length; ) {
    at = next;
    const byte = bytes[at] as number;
    if (byte === BACKSLASH) next += bytes[at + 1] === 0x75 ? 6 : 2;
    else next += byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
  }
  return at;
}
