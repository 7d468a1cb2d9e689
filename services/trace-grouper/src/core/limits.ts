/** Of one text, bytes of UTF-8: 16 KiB, and the mark of what the gateway has cut. */
export const MAX_TEXT_BYTES = 16_448;
/** Of one attribute: many backends cut at 64 KB, in the middle of the JSON. */
export const MAX_ATTRIBUTE_BYTES = 60_000;
/** Of one span: 64 of them are less than the 20 MiB that a collector takes. */
export const MAX_SPAN_BYTES = 200_000;

/**
 * A text of at most so many bytes of UTF-8; what is missing is said, and counted in UTF-16 units. What was missing before
 * counts, too.
 *
 * @example
 * cutText('a'.repeat(100), 60); // 'aaa… [+61 characters]', 60 bytes
 */
export function cutText(text: string, maxBytes: number): string {
  const whole = text.toWellFormed();
  if (byteLength(whole) <= maxBytes) return whole;
  const [mark = '', missing = '0'] = MARK.exec(whole) ?? [];
  const length = whole.length - mark.length + Number(missing);
  const room = maxBytes - byteLength(markOf(length));
  if (room <= 0) return '';
  // A character that the cut goes through, at most three bytes of it, is left out.
  const bytes = Buffer.from(whole).subarray(0, room);
  const kept = bytes.toString().replace(/\uFFFD$/, '');
  return kept + markOf(length - kept.length);
}

const MARK = /… \[\+(\d{1,12}) characters\]$/;
const markOf = (missing: number) => `… [+${missing} characters]`;

/**
 * A JSON value whose JSON has at most so many bytes: its texts are cut ever shorter; where that is not enough, what
 * remains is how much there was.
 *
 * @example
 * cutJson({ command: 'x'.repeat(50_000) }, 20_000); // { command: 'xxxx… [+33575 characters]' }
 */
export function cutJson(value: unknown, maxBytes: number): unknown {
  for (let maxText = MAX_TEXT_BYTES; maxText >= 64; maxText /= 2) {
    const cut = cutTexts(value, maxText, MAX_DEPTH);
    if (jsonBytes(cut) <= maxBytes) return cut;
  }
  return `[more than ${maxBytes} bytes of JSON]`;
}

const MAX_DEPTH = 32;

function cutTexts(value: unknown, maxText: number, depth: number): unknown {
  if (typeof value === 'string') return cutText(value, maxText);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return '[deep]';
  if (Array.isArray(value)) return value.map((item) => cutTexts(item, maxText, depth - 1));
  const entries = Object.entries(value).map(([name, inner]) => [
    cutText(name, maxText),
    cutTexts(inner, maxText, depth - 1),
  ]);
  return Object.fromEntries(entries);
}

/**
 * The newest items whose list has at most so many bytes of JSON.
 *
 * @param cut makes an item smaller before it is measured; not called for items that find no room
 *
 * @example
 * newest([{ n: 1 }, { n: 2 }], 10); // [{ n: 2 }]
 */
export function newest<Item>(items: readonly Item[], maxBytes: number, cut = (item: Item): Item => item): Item[] {
  const kept: Item[] = [];
  let size = 1;
  for (const item of items.toReversed()) {
    const fitted = cut(item);
    size += jsonBytes(fitted) + 1;
    if (size > maxBytes) break;
    kept.unshift(fitted);
  }
  return kept;
}

export function jsonBytes(value: unknown): number {
  return byteLength(JSON.stringify(value));
}

export function byteLength(text: string): number {
  return Buffer.byteLength(text);
}
