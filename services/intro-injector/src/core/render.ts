import { visible } from './memorables.ts';

const OPENING = 'Intro surfaced these moments. Store what lands, let the rest go:';

const ELLIPSIS = '…';

const encoder = new TextEncoder();

const ELLIPSIS_BYTES = byteLength(ELLIPSIS);

/**
 * The text block that the persona reads, byte for byte as the neighbour's contract has it: the tag, one sentence, a
 * line for each item, the closing tag. Nothing in it depends on a clock or on chance.
 *
 * @param items inert lines, as `tidy` makes them
 * @param tag the block's name, `subvox` by the contract
 */
export function render(items: readonly string[], tag: string): string {
  return [`<${tag}>`, OPENING, ...items.map((item) => `- ${item}`), `</${tag}>`].join('\n');
}

/**
 * Shortens a text to at most `maxBytes` of UTF-8, at a word where there is one near the end, and marks the cut by `…`.
 *
 * @example
 * shorten('the tea was cold', 13); // 'the tea…'
 */
export function shorten(text: string, maxBytes: number): string {
  if (text.length <= maxBytes && byteLength(text) <= maxBytes) return text;
  // encodeInto stops at the last character that fits whole.
  const { read } = encoder.encodeInto(text, new Uint8Array(maxBytes - ELLIPSIS_BYTES));
  const space = text.slice(0, read + 1).lastIndexOf(' ');
  const head = text.slice(0, space > read / 2 ? space : read);
  // A cut through an emoji leaves a joiner at the end that was visible only as a part of it.
  return `${visible(head).trimEnd()}${ELLIPSIS}`;
}

/** The length in UTF-8, bytes. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
