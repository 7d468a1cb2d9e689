/**
 * Cuts lines that were read into batches, each with the offset behind it. At least one: there may be empty lines only,
 * which are not listed.
 *
 * @param end the offset behind all of them, and behind the empty ones that follow
 *
 * @example
 * [...inBatches({ lines: [{ end: 3 }, { end: 9 }], end: 10 }, 1)];
 * // [{ batch: [{ end: 3 }], upTo: 3 }, { batch: [{ end: 9 }], upTo: 10 }]
 */
export function* inBatches<Line extends { end: number }>(
  { lines, end }: { lines: readonly Line[]; end: number },
  size: number,
): Generator<{ batch: Line[]; upTo: number }> {
  for (let at = 0; at === 0 || at < lines.length; at += size) {
    const batch = lines.slice(at, at + size);
    const isLast = at + size >= lines.length;
    yield { batch, upTo: isLast ? end : (batch.at(-1)?.end ?? end) };
  }
}
