import type { Span } from './body-tree.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of a string token (quotes included); undefined when it is no valid JSON or no valid UTF-8. */
export function decodeToken(bytes: Uint8Array, token: Span): string | undefined {
  try {
    return JSON.parse(utf8.decode(bytes.subarray(token.start, token.end))) as string;
  } catch {
    // A bad escape, a raw control character, a byte that is no UTF-8: this text is then nobody's to edit.
    return undefined;
  }
}

/** The string token of a text, as UTF-8 bytes. */
export function encodeToken(text: string): Buffer {
  return Buffer.from(JSON.stringify(text));
}

/**
 * Where each UTF-16 unit of a token's text begins in the body, and where the last one ends: edits are found in the
 * decoded text, but made in the bytes, so that every escape outside of them stays as the client wrote it.
 *
 * @returns offsets[i] of text[i], and offsets[text.length] of the closing quote
 */
export function textOffsets(bytes: Uint8Array, token: Span): Uint32Array {
  const offsets = new Uint32Array(token.end - token.start);
  let unit = 0;
  let at = token.start + 1;
  while (at < token.end - 1) {
    const byte = bytes[at] as number;
    offsets[unit++] = at;
    if (byte === 0x5c) at += bytes[at + 1] === 0x75 ? 6 : 2;
    else if (byte < 0x80) at += 1;
    else if (byte < 0xe0) at += 2;
    else if (byte < 0xf0) at += 3;
    else {
      // Outside the basic plane: one code point of four bytes, two units.
      offsets[unit++] = at;
      at += 4;
    }
  }
  offsets[unit] = token.end - 1;
  return offsets.subarray(0, unit + 1);
}
