import { hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { splitLines } from '../core/line-splitter.ts';
import type { Place } from './place.ts';

/** What is read at once, bytes. */
const CHUNK_BYTES = 262_144;

/** The longest line that is held, bytes without its line break. */
export const MAX_LINE_BYTES = 8 * 1_024 * 1_024;

/** How much of an oversized line its hash knows, besides its length. */
const OVERSIZED_HEAD_BYTES = 65_536;

/** How much of what stands before an offset is remembered by its fingerprint. */
const TAIL_BYTES = 1_024;

const LINE_FEED = 0x0a;

export interface ReadLine {
  /** Of its first byte. */
  offset: number;
  /** Offset of the next line. */
  end: number;
  hash: string;
  /** Without its line break; absent when it is longer than MAX_LINE_BYTES. */
  content?: Uint8Array;
}

export type Lines =
  /**
   * At least one complete line, which may be empty and not listed; `end` stands behind them all. `tailAt` makes the
   * fingerprint of what stands before a line's end.
   */
  | { state: 'complete'; lines: ReadLine[]; end: number; tailAt: (end: number) => string }
  /** None yet. */
  | { state: 'torn' }
  /** What stands before the offset is not what stood there. */
  | { state: 'discontinuous' };

export type CompleteLines = Extract<Lines, { state: 'complete' }>;

interface Expected {
  offset: number;
  before: number;
  tail: string | undefined;
}

/**
 * Reads the lines of one file. What it remembers from one handle to the next is how far a torn line was searched for its
 * end, a few numbers; its bytes are not kept.
 *
 * A read is taken for one moment of the file. It is not where bytes are overwritten in their place, which none of those
 * who write transcripts does: such lines come out mixed, however often they are read.
 */
export class LineReader {
  #searched = { offset: 0, upTo: 0, tail: '' };
  /** One for all reads of a long file: what is read and dropped costs memory until it is collected. */
  #buffer: Buffer | undefined;

  /**
   * Reads the complete lines from an offset on, as many as a read of 256 KiB gives, or one longer line. Their bytes hold
   * until the next read.
   *
   * @param tail the fingerprint that must fit; unset: any
   * @param signal ends the search for the end of a long line; the answer is `torn` then
   */
  async read(handle: FileHandle, offset: number, tail?: string, signal?: AbortSignal): Promise<Lines> {
    const { size } = await handle.stat();
    if (size < offset) return { state: 'discontinuous' };
    const before = Math.min(offset, TAIL_BYTES);
    const window = await this.#readWindow(handle, offset - before, Math.min(size - offset, CHUNK_BYTES) + before);
    if (tail !== undefined && tail !== tailOf(window, before)) return { state: 'discontinuous' };

    const lines = complete(window, before, offset);
    if (lines.state === 'complete' || window.length < CHUNK_BYTES + before) return lines;
    return this.#readLong(handle, { offset, before, tail }, window, signal);
  }

  /**
   * Reads complete lines before a place, from where they are noted on. It is `discontinuous` when what stands right
   * before the place is not what stood there: then these lines are perhaps others, too.
   */
  async readBefore(handle: FileHandle, place: Place, signal?: AbortSignal): Promise<Lines> {
    const { noted, offset, tail } = place;
    const read = await this.read(handle, noted, undefined, signal);
    // Afterwards, so that it vouches for what was read.
    if (read.state !== 'complete' || (await readTail(handle, offset)) !== tail) return { state: 'discontinuous' };
    const lines = read.lines.filter((line) => line.offset < offset);
    return { ...read, lines, end: Math.min(read.end, offset) };
  }

  /** Lets go of what it holds for the reads to come. */
  release(): void {
    this.#buffer = undefined;
  }

  #readWindow(handle: FileHandle, position: number, length: number): Promise<Buffer> {
    if (length < CHUNK_BYTES) return readAt(handle, position, Buffer.allocUnsafe(length));
    this.#buffer ??= Buffer.allocUnsafe(CHUNK_BYTES + TAIL_BYTES);
    return readAt(handle, position, this.#buffer.subarray(0, length));
  }

  /** @param window what `read` got: `before` bytes, and the line's first 256 KiB */
  async #readLong(handle: FileHandle, expected: Expected, window: Buffer, signal?: AbortSignal): Promise<Lines> {
    const { offset, before, tail } = expected;
    const end = await this.#findEnd(handle, offset, signal);
    if (end === undefined) return { state: 'torn' };

    const isHeld = end - offset <= MAX_LINE_BYTES + 1;
    const bytes = Buffer.allocUnsafe(isHeld ? end - offset + before : window.length);
    const whole = await readAt(handle, offset - before, bytes);
    // Overwritten since: the end that was found is perhaps of another line.
    if (!whole.subarray(0, window.length).equals(window)) return this.read(handle, offset, tail, signal);
    if (isHeld) return complete(whole, before, offset);

    const head = window.subarray(before, before + OVERSIZED_HEAD_BYTES);
    const known = shortHash(Buffer.concat([head, Buffer.from(`:${end - offset}`)]));
    const ending = await readTail(handle, end);
    return { state: 'complete', lines: [{ offset, end, hash: known }], end, tailAt: () => ending };
  }

  /** The offset behind the line's break; undefined when there is none yet. Each byte is searched once, however often it is asked. */
  async #findEnd(handle: FileHandle, offset: number, signal?: AbortSignal): Promise<number | undefined> {
    let at = offset + CHUNK_BYTES;
    const searched = this.#searched;
    // What was searched may have been overwritten: then its end is no longer what it was.
    if (searched.offset === offset && searched.upTo > at && (await readTail(handle, searched.upTo)) === searched.tail) {
      at = searched.upTo;
    }
    const bytes = Buffer.allocUnsafe(CHUNK_BYTES);
    while (!signal?.aborted) {
      const chunk = await readAt(handle, at, bytes);
      const found = chunk.indexOf(LINE_FEED);
      if (found !== -1) return at + found + 1;
      at += chunk.length;
      if (chunk.length < CHUNK_BYTES) break;
    }
    this.#searched = { offset, upTo: at, tail: await readTail(handle, at) };
    return undefined;
  }
}

/** Where the line starts that is not complete yet, with the fingerprint of what stands before it. Reads from the end. */
export async function findLastLine(handle: FileHandle): Promise<{ offset: number; tail: string }> {
  const bytes = Buffer.allocUnsafe(CHUNK_BYTES);
  let { size: to } = await handle.stat();
  while (to > 0) {
    const from = Math.max(0, to - CHUNK_BYTES);
    const last = (await readAt(handle, from, bytes.subarray(0, to - from))).lastIndexOf(LINE_FEED);
    to = from;
    if (last === -1) continue;
    const offset = from + last + 1;
    return { offset, tail: await readTail(handle, offset) };
  }
  return { offset: 0, tail: '0:' };
}

/**
 * @param window bytes of the file, `before` of them before `offset`
 */
function complete(window: Buffer, before: number, offset: number): Lines {
  const { lines, end } = splitLines(window.subarray(before), offset);
  if (end === offset) return { state: 'torn' };
  const read = lines.map((line) => {
    const { content } = line;
    return { offset: line.offset, end: line.offset + line.bytes, hash: shortHash(content), content };
  });
  return { state: 'complete', lines: read, end, tailAt: (at) => tailOf(window, at - offset + before) };
}

async function readTail(handle: FileHandle, offset: number): Promise<string> {
  const before = Math.min(offset, TAIL_BYTES);
  const bytes = await readAt(handle, offset - before, Buffer.allocUnsafe(before));
  return tailOf(bytes, bytes.length);
}

function tailOf(bytes: Buffer, end: number): string {
  const tail = bytes.subarray(Math.max(0, end - TAIL_BYTES), end);
  return tail.length === 0 ? '0:' : `${tail.length}:${shortHash(tail)}`;
}

/** 8 bytes, as 16 hex digits. */
function shortHash(bytes: Uint8Array): string {
  return hash('sha256', bytes).slice(0, 16);
}

/** Fills the bytes; the answer is fewer of them only at the file's end. */
async function readAt(handle: FileHandle, position: number, bytes: Buffer): Promise<Buffer> {
  let got = 0;
  while (got < bytes.length) {
    const { bytesRead } = await handle.read(bytes, got, bytes.length - got, position + got);
    if (bytesRead === 0) break;
    got += bytesRead;
  }
  return bytes.subarray(0, got);
}
