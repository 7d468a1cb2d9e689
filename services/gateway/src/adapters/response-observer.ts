import type { IncomingHttpHeaders } from 'node:http';
import type { Transform } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { errorTypeOf } from '@loom/shared/redaction.ts';
import { createParser } from 'eventsource-parser';
import { Answer } from '../core/answer.ts';

const MAX_JSON_BYTES = 16_777_216;
const MAX_SSE_CHARACTERS = 8_388_608;
const MAX_BACKLOG_BYTES = 4_194_304;
/** Events are read in batches of so many bytes: that costs a fraction of reading each as it passes. */
const BATCH_BYTES = 8_192;
const LAST_EVENT = Buffer.from('message_stop');
/** The end of what came before, in which the last event's name may have begun. */
const TAIL_BYTES = LAST_EVENT.length - 1;

// An answer that breaks off is read as far as it came, and not refused for having no end.
const zlib = { finishFlush: constants.Z_SYNC_FLUSH };
const brotli = { finishFlush: constants.BROTLI_OPERATION_FLUSH };
const zstd = { finishFlush: constants.ZSTD_e_flush };

const DECODERS = new Map<string, () => Transform>([
  ['gzip', () => createGunzip(zlib)],
  ['x-gzip', () => createGunzip(zlib)],
  ['deflate', () => createInflate(zlib)],
  ['br', () => createBrotliDecompress(brotli)],
  ['zstd', () => createZstdDecompress(zstd)],
]);

/**
 * Reads a copy of an answer along while the original goes to the client untouched: decodes for itself, folds the events
 * into `answer`. When it cannot follow (unknown encoding, broken data, too large) it stops looking, and nothing else.
 */
export class ResponseObserver {
  readonly answer: Answer;
  /** Bytes of the body as they came. */
  bytes = 0;
  /** Why the rest of the answer was not looked at. */
  blindness: string | undefined;
  readonly #take: (chunk: Buffer) => void;
  readonly #read: (bytes: Buffer) => void;
  readonly #decoder: Transform | undefined;
  readonly #isStream: boolean;
  readonly #contentLength: number;
  #json: Buffer[] = [];
  /** The tail of what was read, and what was not read yet. */
  #batch: Buffer | undefined;
  #batchEnd = TAIL_BYTES;
  /** The last event may have begun. */
  #isEnding = false;
  #jsonBytes = 0;

  /** @param keepsBlocks whether the answer's blocks are wanted, and not only what its event says */
  constructor(headers: IncomingHttpHeaders, keepsBlocks = false) {
    this.answer = new Answer(keepsBlocks);
    this.#isStream = /^text\/event-stream\b/i.test(headers['content-type'] ?? '');
    this.#contentLength = Number(headers['content-length'] ?? Number.NaN);
    this.#read = this.#sseReader();
    this.#take = this.#isStream ? (chunk) => this.#gather(chunk) : (chunk) => this.#collect(chunk);
    const encoding = (headers['content-encoding'] ?? 'identity').trim().toLowerCase();
    if (encoding === 'identity') return;
    this.#decoder = DECODERS.get(encoding)?.();
    if (!this.#decoder) this.#goBlind('unknown encoding');
    this.#decoder?.on('data', (chunk: Buffer) => this.#guarded(() => this.#take(chunk)));
    this.#decoder?.on('error', () => this.#goBlind('undecodable'));
  }

  /** Whether these bytes would be the last of a message of known length that can be read as it comes. */
  isWholeWith(chunk: Buffer): boolean {
    return !this.#isStream && !this.#decoder && this.bytes + chunk.length === this.#contentLength;
  }

  /**
   * Takes the next bytes as they came.
   *
   * @returns whether the answer is complete with them; a compressed one is not known to be before `end`
   */
  write(chunk: Buffer): boolean {
    const isWhole = this.isWholeWith(chunk);
    this.bytes += chunk.length;
    if (this.blindness) return false;
    if (this.#decoder) {
      this.#decoder.write(chunk);
      if (this.#decoder.writableLength > MAX_BACKLOG_BYTES) this.#goBlind('too fast to decode');
      return false;
    }
    this.#guarded(() => this.#take(chunk));
    if (isWhole) this.#guarded(() => this.#parseJson());
    return this.answer.isComplete;
  }

  /**
   * Makes sense of what came; to be called once, at the end of the body, whole or not.
   *
   * @returns when that is done; undefined where it is done already
   */
  end(isWhole: boolean): Promise<void> | undefined {
    const decoder = this.#decoder;
    if (!decoder || this.blindness) {
      this.#finish(isWhole);
      return undefined;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    decoder.once('close', resolve);
    decoder.end();
    return promise.then(() => this.#finish(isWhole));
  }

  #finish(isWhole: boolean): void {
    this.#readBatch();
    if (isWhole && !this.#isStream && !this.answer.isComplete) this.#guarded(() => this.#parseJson());
  }

  #goBlind(reason: string): void {
    this.blindness ??= reason;
    this.#json = [];
    this.#batch = undefined;
    this.#decoder?.destroy();
  }

  /** A fault of the observer is never the client's. */
  #guarded(look: () => void): void {
    if (this.blindness) return;
    try {
      look();
    } catch (error) {
      this.#goBlind(errorTypeOf(error));
    }
  }

  /** What tells the time, or ends the answer, is read at once; the rest when there is enough of it. */
  #gather(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.blindness; ) {
      this.#batch ??= Buffer.alloc(TAIL_BYTES + BATCH_BYTES);
      const before = this.#batchEnd;
      this.#batchEnd += chunk.copy(this.#batch, before, at);
      at += this.#batchEnd - before;
      this.#isEnding ||= this.#batch.subarray(before - TAIL_BYTES, this.#batchEnd).includes(LAST_EVENT);
      if (this.#isEnding || this.answer.onContent || this.#batchEnd === this.#batch.length) this.#readBatch();
    }
  }

  #readBatch(): void {
    const batch = this.#batch;
    if (!batch || this.#batchEnd === TAIL_BYTES) return;
    this.#guarded(() => this.#read(batch.subarray(TAIL_BYTES, this.#batchEnd)));
    batch.copyWithin(0, this.#batchEnd - TAIL_BYTES, this.#batchEnd);
    this.#batchEnd = TAIL_BYTES;
  }

  #sseReader(): (bytes: Buffer) => void {
    const text = new StringDecoder('utf8');
    const parser = createParser({
      onEvent: ({ data }) => this.answer.sseEvent(data),
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') this.#goBlind('too large');
      },
      maxBufferSize: MAX_SSE_CHARACTERS,
    });
    return (bytes) => parser.feed(text.write(bytes));
  }

  #collect(chunk: Buffer): void {
    this.#jsonBytes += chunk.length;
    if (this.#jsonBytes > MAX_JSON_BYTES) this.#goBlind('too large');
    else this.#json.push(chunk);
  }

  #parseJson(): void {
    this.answer.body(Buffer.concat(this.#json).toString());
    this.#json = [];
  }
}
