import type { IncomingHttpHeaders } from 'node:http';
import type { Transform } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { errorTypeOf } from '@loom/shared';
import { createParser } from 'eventsource-parser';
import { Answer } from '../core/answer.ts';

const MAX_JSON_BYTES = 16_777_216;
const MAX_SSE_CHARACTERS = 8_388_608;
const MAX_BACKLOG_BYTES = 4_194_304;

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
  readonly #decoder: Transform | undefined;
  readonly #isStream: boolean;
  readonly #contentLength: number;
  #json: Buffer[] = [];
  #jsonBytes = 0;

  /** @param keepsBlocks whether the answer's blocks are wanted, and not only what its event says */
  constructor(headers: IncomingHttpHeaders, keepsBlocks = false) {
    this.answer = new Answer(keepsBlocks);
    this.#isStream = /^text\/event-stream\b/i.test(headers['content-type'] ?? '');
    this.#contentLength = Number(headers['content-length'] ?? Number.NaN);
    this.#take = this.#isStream ? this.#sseReader() : (chunk) => this.#collect(chunk);
    const encoding = (headers['content-encoding'] ?? 'identity').trim().toLowerCase();
    if (encoding === 'identity') return;
    this.#decoder = DECODERS.get(encoding)?.();
    if (!this.#decoder) this.#goBlind('unknown encoding');
    this.#decoder?.on('data', (chunk: Buffer) => this.#guarded(() => this.#take(chunk)));
    this.#decoder?.on('error', () => this.#goBlind('undecodable'));
  }

  /**
   * Takes the next bytes as they came.
   *
   * @returns whether the answer is complete with them; a compressed one is not known to be before `end`
   */
  write(chunk: Buffer): boolean {
    this.bytes += chunk.length;
    if (this.blindness) return false;
    if (this.#decoder) {
      this.#decoder.write(chunk);
      if (this.#decoder.writableLength > MAX_BACKLOG_BYTES) this.#goBlind('too fast to decode');
      return false;
    }
    this.#guarded(() => this.#take(chunk));
    if (!this.#isStream && this.bytes === this.#contentLength) this.#guarded(() => this.#parseJson());
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
    if (isWhole && !this.#isStream && !this.answer.isComplete) this.#guarded(() => this.#parseJson());
  }

  #goBlind(reason: string): void {
    this.blindness ??= reason;
    this.#json = [];
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

  #sseReader(): (chunk: Buffer) => void {
    const text = new StringDecoder('utf8');
    const parser = createParser({
      onEvent: ({ data }) => this.answer.sseEvent(data),
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') this.#goBlind('too large');
      },
      maxBufferSize: MAX_SSE_CHARACTERS,
    });
    return (chunk) => parser.feed(text.write(chunk));
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
