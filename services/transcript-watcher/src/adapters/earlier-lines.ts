import type { FileHandle } from 'node:fs/promises';
import { inBatches } from '../core/line-batches.ts';
import { PublishedLines } from '../core/published-lines.ts';
import type { CompleteLines, LineReader } from './line-reader.ts';
import type { FileRef, LineStore } from './line-store.ts';
import type { Place } from './place.ts';

/** Lines that are noted at once. */
const BATCH_LINES = 1_000;

/**
 * The lines of a file that were known when this epoch began and have not been met again in it, up to an offset. Known are
 * those that were published, and those that stood there before reading began. Whoever takes a file over gets them from
 * the hashes in Redis and the file itself, so nothing but the place is stored.
 */
export class EarlierLines {
  readonly #ref: FileRef;
  readonly #store: LineStore;
  readonly #reader: LineReader;
  #left: { epoch: number; known: number; offset: number; lines: PublishedLines } | undefined;

  constructor(ref: FileRef, store: LineStore, reader: LineReader) {
    this.#ref = ref;
    this.#store = store;
    this.#reader = reader;
  }

  /**
   * Meets the lines before a place that others met: after a crash, or when somebody else was faster.
   *
   * @returns false when the file has no complete lines up to there, or the signal aborted
   */
  async moveTo({ epoch, known, offset }: Place, handle: FileHandle, signal?: AbortSignal): Promise<boolean> {
    const stood = this.#left;
    this.#left = undefined;
    if (known === 0) return true;

    const left =
      stood?.epoch === epoch && stood.known === known && stood.offset <= offset
        ? stood
        : { epoch, known, offset: 0, lines: new PublishedLines(await this.#store.readHashes(this.#ref, known)) };
    while (left.offset < offset && left.lines.size > 0) {
      const read = await this.#reader.read(handle, left.offset, undefined, signal);
      if (read.state !== 'complete' || signal?.aborted) return false;
      left.lines.take(read.lines.filter((line) => line.offset < offset).map(({ hash }) => hash));
      left.offset = read.end;
    }
    this.#left = { ...left, offset };
    return true;
  }

  /**
   * Takes lines as known that stood before the place where reading began.
   *
   * @param signal stops between two batches
   * @returns where reading stands then; undefined when Redis lost it
   */
  async note(from: Place, read: CompleteLines, signal?: AbortSignal): Promise<Place | undefined> {
    let place = from;
    for (const { batch, upTo } of inBatches(read, BATCH_LINES)) {
      if (signal?.aborted) break;
      const hashes = batch.map(({ hash }) => hash);
      const moved = await this.#store.note(this.#ref, place, upTo, hashes);
      if (!moved.done || !moved.place) return moved.place;
      place = moved.place;
    }
    return place;
  }

  /** For each of the next lines whether it is to be published. */
  areNew(hashes: readonly string[]): boolean[] {
    return this.#left?.lines.areNew(hashes) ?? hashes.map(() => true);
  }

  /** The next lines were met; the offset is the one behind them. */
  take(hashes: readonly string[], offset: number): void {
    if (!this.#left) return;
    this.#left.lines.take(hashes);
    this.#left.offset = offset;
  }
}
