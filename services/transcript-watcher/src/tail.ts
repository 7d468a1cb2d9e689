import type { FileHandle } from 'node:fs/promises';
import type { Logger } from '@loom/shared/log.ts';
import { EarlierLines } from './adapters/earlier-lines.ts';
import { type CompleteLines, findLastLine, LineReader, type Lines } from './adapters/line-reader.ts';
import type { LineStore } from './adapters/line-store.ts';
import { isStart, type Place, START } from './adapters/place.ts';
import {
  isStillThere,
  openTranscript,
  type RefusalReason,
  TranscriptRefusedError,
} from './adapters/transcript-file.ts';
import { inBatches } from './core/line-batches.ts';
import { LinePublisher } from './line-publisher.ts';

/** Lines that go to Redis at once. */
const BATCH_LINES = 64;

/** What all tails of a process did. */
export interface TailCounters {
  /** Published. */
  lines: number;
  /** Of these, longer than is read. */
  oversized: number;
  /** Met again in a file that was cut short or replaced, and passed over. */
  known: number;
  /** Files that were found cut short or replaced by another. */
  discontinuities: number;
}

export const createTailCounters = (): TailCounters => ({ lines: 0, oversized: 0, known: 0, discontinuities: 0 });

export interface TailOptions {
  session: string;
  /** Path below the root, such as `-home-alpha/3f….jsonl`. */
  file: string;
  /** The subagent whose transcript it is. */
  agentId?: string;
  /** `CLAUDE_DATA_DIR/projects`. */
  root: string;
  store: LineStore;
  log: Logger;
  counters: TailCounters;
}

export type Reading =
  | { state: 'absent' }
  | { state: 'refused'; reason: RefusalReason; code?: string }
  | {
      state: 'read';
      /** Published by this call. */
      lines: number;
      /** Reading stands elsewhere than after the call before, whoever moved it. */
      moved: boolean;
    };

/**
 * Follows one transcript and publishes each complete line once.
 *
 * Only what stands behind the stored offset is read, as long as what stands before it is what stood there, whatever
 * became of the file's inode. If it is not (the file was cut short, replaced by an older version or written anew), the
 * file is read from its start in a new epoch, and lines that are known are passed over: those that were published before,
 * and those that stood there before reading began. The first `read` notes the latter, before it publishes anything; they
 * are unknown, and given once, only in a file that loses its continuity before that is done. What is known of the same
 * transcript in another project folder is known of a new file, too.
 *
 * Both calls reject when Redis does not answer or the disk fails; nothing is lost, the next call goes on.
 *
 * @example
 * const tail = new Tail({ session, file: '-home-alpha/3f….jsonl', root, store, log, counters });
 * await tail.begin('end');
 * await tail.read(); // { state: 'read', lines: 0, moved: false }
 */
export class Tail {
  readonly #options: TailOptions;
  readonly #reader = new LineReader();
  readonly #earlier: EarlierLines;
  readonly #publisher: LinePublisher;
  #from: 'start' | 'end' | undefined;
  /** Where reading stood last: Redis may come back empty. */
  #place: Place | undefined;
  #lines = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: TailOptions) {
    this.#options = options;
    this.#earlier = new EarlierLines(options, options.store, this.#reader);
    this.#publisher = new LinePublisher(options, this.#earlier);
  }

  /**
   * Stores where reading starts, unless that is stored already: behind the last complete line that is there (`end`), or
   * at 0 (`start`, and for a file that does not exist yet). What could not be stored, because the file was refused, is
   * stored by the first `read` that can. It takes no longer for a long file, so that all files of a session begin at
   * the same moment.
   */
  begin(from: 'start' | 'end'): Promise<Reading> {
    return this.#serially(async () => {
      this.#from = from;
      const reading = await this.#open(async (handle) => void (await this.#store(handle)));
      if (reading.state === 'absent') await this.#store();
      return reading;
    });
  }

  /**
   * Publishes every complete line behind the stored offset. A call while another one runs waits for it, and then reads
   * once more.
   *
   * @param signal stops between two batches
   */
  read(signal?: AbortSignal): Promise<Reading> {
    return this.#serially(async () => {
      const before = { ...this.#place, lines: this.#lines };
      for (;;) {
        let isReplaced = false;
        const reading = await this.#open(async (handle) => {
          isReplaced = (await this.#follow(handle, signal)) === 'replaced';
        });
        if (isReplaced) continue;
        if (reading.state !== 'read') return reading;
        const moved = this.#place?.epoch !== before.epoch || this.#place?.offset !== before.offset;
        return { state: 'read', lines: this.#lines - before.lines, moved };
      }
    });
  }

  /** Stores where reading stood last in a Redis that has lost it. */
  restore(): Promise<void> {
    return this.#serially(async () => {
      if (this.#place) await this.#store();
    });
  }

  #serially<T>(action: () => Promise<T>): Promise<T> {
    const reading = this.#last.then(action, action);
    this.#last = reading;
    return reading;
  }

  async #open(work: (handle: FileHandle) => Promise<void>): Promise<Reading> {
    const { root, file } = this.#options;
    let handle: FileHandle | undefined;
    try {
      handle = await openTranscript(root, file);
    } catch (error) {
      if (!(error instanceof TranscriptRefusedError)) throw error;
      const { reason, code } = error;
      return { state: 'refused', reason, ...(code === undefined ? {} : { code }) };
    }
    if (!handle) return { state: 'absent' };
    try {
      await work(handle);
    } finally {
      this.#reader.release();
      await handle.close();
    }
    return { state: 'read', lines: 0, moved: false };
  }

  /** Stores where reading starts or, when Redis lost it, where it stood; what is known then is what stands before it. */
  async #store(handle?: FileHandle): Promise<Place> {
    if (!this.#from) throw new Error(`expected begin before read, of ${this.#options.file}`);
    const first = handle && this.#from === 'end' ? { ...START, ...(await findLastLine(handle)) } : START;
    this.#place = await this.#options.store.begin(this.#options, this.#place ? { ...this.#place, known: 0 } : first);
    return this.#place;
  }

  /** Until no complete line is left, or the handle turns out to be of a file that was replaced. */
  async #follow(handle: FileHandle, signal?: AbortSignal): Promise<'done' | 'replaced'> {
    const { root, file, store } = this.#options;
    let place = (await store.find(this.#options)) ?? (await this.#store(handle));
    if (isStart(place)) place = (await store.adopt(this.#options)) ?? (await this.#store(handle));
    for (;;) {
      this.#place = place;
      const read = await this.#readNext(handle, place, signal);
      if (read.state === 'torn' || signal?.aborted) return 'done';

      if (read.state === 'discontinuous' && !(await isStillThere(root, file, handle))) return 'replaced';
      const moved = read.state === 'complete' ? await this.#take(place, read, signal) : await this.#restart(place);
      place = moved ?? (await this.#store(handle));
    }
  }

  async #readNext(handle: FileHandle, place: Place, signal?: AbortSignal): Promise<Lines> {
    if (place.noted < place.offset) return this.#reader.readBefore(handle, place, signal);
    // Before the read, so that its check of the tail vouches for what was met here, too.
    const isMet = await this.#earlier.moveTo(place, handle, signal);
    return isMet ? this.#reader.read(handle, place.offset, place.tail, signal) : { state: 'discontinuous' };
  }

  #take(place: Place, read: CompleteLines, signal?: AbortSignal): Promise<Place | undefined> {
    return place.noted < place.offset ? this.#earlier.note(place, read, signal) : this.#publish(place, read, signal);
  }

  /** As long as nobody else does; where reading stands then. */
  async #publish(from: Place, read: CompleteLines, signal?: AbortSignal): Promise<Place | undefined> {
    let place = from;
    for (const { batch, upTo } of inBatches(read, BATCH_LINES)) {
      if (signal?.aborted) break;
      const moved = await this.#publisher.publish(batch, place, { offset: upTo, tail: read.tailAt(upTo) });
      if (moved.published === undefined || !moved.place) return moved.place;
      this.#lines += moved.published;
      place = moved.place;
      this.#place = place;
    }
    return place;
  }

  async #restart(from: Place): Promise<Place | undefined> {
    const { session, file, store, log, counters } = this.#options;
    const { done, place } = await store.restart(this.#options, from);
    if (done) {
      counters.discontinuities += 1;
      log.info('transcript was cut short or replaced', { session, file, offset: from.offset, epoch: place?.epoch });
    }
    return place;
  }
}
