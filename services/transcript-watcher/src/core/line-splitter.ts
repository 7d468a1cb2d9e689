const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** One complete line. */
export interface SplitLine {
  /** Of its first byte in the file. */
  offset: number;
  /** With its line break. */
  bytes: number;
  /** Without its line break (`\n` or `\r\n`); a view of the bytes that were split. */
  content: Uint8Array;
}

export interface SplitLines {
  /** In order; empty ones are left out. */
  lines: SplitLine[];
  /** Where the first line starts that is not complete yet. */
  end: number;
}

/**
 * Splits bytes at their line breaks. Bytes, because a read may end inside a character: 0x0A is part of no other one in
 * UTF-8, so whatever stands between two of them is whole.
 *
 * @param bytes start at a line's first byte
 * @param offset of the first of them in the file
 *
 * @example
 * splitLines(Buffer.from('{}\n\n{"typ'), 100); // { lines: [{ offset: 100, bytes: 3, content: '{}' }], end: 104 }
 */
export function splitLines(bytes: Uint8Array, offset: number): SplitLines {
  const lines: SplitLine[] = [];
  let from = 0;
  for (let at = bytes.indexOf(LINE_FEED); at !== -1; at = bytes.indexOf(LINE_FEED, from)) {
    const content = bytes.subarray(from, bytes[at - 1] === CARRIAGE_RETURN && at > from ? at - 1 : at);
    if (content.length > 0) lines.push({ offset: offset + from, bytes: at + 1 - from, content });
    from = at + 1;
  }
  return { lines, end: offset + from };
}
