import { createReadStream, readFileSync } from 'node:fs';

/** What a stream entry needs to be written later: one line of JSON in a spool file. */
export interface SpooledEntry {
  key: string;
  fields: string[];
  keep: number;
}

const BATCH_ENTRIES = 100;
const BATCH_BYTES = 1_048_576;
const NEWLINE = 0x0a;

/**
 * Reads a file from a byte on, piece by piece, so that a large one neither fills memory nor blocks the loop.
 *
 * @returns batches of entries, each with the byte behind it; a line that is no entry is passed over
 */
export async function* batchesOf(
  file: string,
  start: number,
): AsyncGenerator<{ entries: SpooledEntry[]; end: number }> {
  let end = start;
  let entries: SpooledEntry[] = [];
  let size = 0;
  for await (const line of linesOf(file, start)) {
    end += line.length + 1;
    size += line.length;
    entries.push(...parseEntry(line.toString()));
    if (entries.length < BATCH_ENTRIES && size < BATCH_BYTES) continue;
    yield { entries, end };
    entries = [];
    size = 0;
  }
  if (entries.length > 0) yield { entries, end };
}

/** Not readline: it also ends a line at U+2028, which JSON writes as it is. */
async function* linesOf(file: string, start: number): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = [];
  for await (const chunk of createReadStream(file, { start }) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...pieces, chunk.subarray(from, at)]);
      pieces = [];
      from = at + 1;
    }
    pieces.push(chunk.subarray(from));
  }
}

/** Reads a whole file at once. */
export function readEntries(file: string): SpooledEntry[] {
  return readFileSync(file, 'utf8').split('\n').flatMap(parseEntry);
}

/** A torn last line is what a crash in mid-write leaves: it is no event. */
function parseEntry(line: string): SpooledEntry[] {
  try {
    return [JSON.parse(line) as SpooledEntry];
  } catch {
    return [];
  }
}
