import type { IncomingMessage, ServerResponse } from 'node:http';
import { JsonStrings } from '../core/json-strings.ts';
import type { LoomFailure } from './api-error.ts';
import type { Metrics } from './metrics.ts';

export interface BodyReaderOptions {
  /** The longest body. */
  maxBytes: number;
  /** All bodies that are held at once, from their first byte to the end of their answer. */
  maxHeldBytes: number;
  /** How long a client may send nothing in the middle of a body, milliseconds. Default: 60,000. */
  idleMs?: number | undefined;
  metrics: Pick<Metrics, 'bytesHeld' | 'bodiesRefused'>;
}

/** A request's body, whole. */
export interface ReceivedBody {
  bytes: Buffer;
  /** Its strings, where it was looked through while it came. */
  strings: JsonStrings | undefined;
}

/** What a piece costs besides its bytes: a body of many tiny ones is larger than it looks. */
const PIECE_BYTES = 256;
/** The longest body that room is made for before it is there, bytes. What is not there yet costs no memory. */
const MAX_ROOM_BYTES = 8_388_608;

/** A body that is not read to its end; `failure` is what the client is told. */
export class BodyRefused extends Error {
  override readonly name = 'BodyRefused';
  readonly failure: LoomFailure;

  constructor(failure: LoomFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

/**
 * Reads bodies whole, within bounds that hold for all of them together: what is beyond is refused while it comes, so that
 * many large requests, or many that never end, cost what they may and no more.
 */
export class BodyReader {
  readonly #options: BodyReaderOptions;
  #heldBytes = 0;

  constructor(options: BodyReaderOptions) {
    this.#options = options;
  }

  /**
   * Reads a request's body; it counts as held until the response closes. What comes in pieces is put together and
   * looked through as it comes, while the rest is on its way, and not all at once at the end: that would stop everybody's
   * streams for as long as it takes.
   *
   * @throws BodyRefused when it is too long, too much together with the others, or stalls; Error when the client leaves
   */
  read(request: IncomingMessage, response: ServerResponse): Promise<ReceivedBody> {
    const { promise, resolve, reject } = Promise.withResolvers<ReceivedBody>();
    const { maxBytes, maxHeldBytes, idleMs = 60_000 } = this.#options;
    const announced = Number(request.headers['content-length'] ?? 0);
    const pieces: Buffer[] = [];
    let room: Buffer | undefined;
    let strings: JsonStrings | undefined;
    let length = 0;
    let held = 0;
    let isReading = true;

    const hold = (bytes: number) => {
      held += bytes;
      this.#heldBytes += bytes;
      this.#options.metrics.bytesHeld.add(bytes);
    };
    const settle = () => {
      isReading = false;
      request.setTimeout(0);
      request.off('timeout', onSilence).off('data', onData).off('end', onEnd).off('error', fail);
    };
    const fail = (error: Error) => {
      settle();
      hold(-held);
      pieces.length = 0;
      room = undefined;
      strings = undefined;
      reject(error);
    };
    const refuse = (reason: string, failure: LoomFailure) => {
      fail(new BodyRefused(failure));
      // The rest is for nobody; a client that has to send it all gets to read its answer then.
      request.on('error', () => {}).resume();
      this.#options.metrics.bodiesRefused.add(1, { reason });
    };
    const lookAhead = () => {
      try {
        strings?.lookAhead(length);
      } catch {
        // A fault of ours: nobody stands behind it here, and the walk finds the strings by itself.
        strings = undefined;
      }
    };
    const onData = (piece: Buffer) => {
      if (length + piece.length > maxBytes) refuse('too_large', tooLarge(maxBytes));
      else if (this.#heldBytes + piece.length + PIECE_BYTES > maxHeldBytes)
        refuse('overloaded', overloaded(maxHeldBytes));
      else {
        if (length === 0 && piece.length < announced && announced <= MAX_ROOM_BYTES) {
          room = Buffer.allocUnsafeSlow(announced);
          strings = new JsonStrings(room);
        }
        if (room) piece.copy(room, length);
        else pieces.push(piece);
        length += piece.length;
        lookAhead();
        hold(piece.length + (room ? 0 : PIECE_BYTES));
      }
    };
    const onEnd = () => {
      settle();
      const bytes = room ?? (pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces, length));
      resolve({ bytes, strings });
      pieces.length = 0;
      hold(length - held);
    };
    const onSilence = () => {
      response.shouldKeepAlive = false;
      refuse('stalled', stalled(idleMs));
    };

    response.once('close', () => {
      if (isReading) fail(new Error('expected the rest of a body, but the client has left'));
      else hold(-held);
    });
    if (announced > maxBytes) refuse('too_large', tooLarge(maxBytes));
    else {
      request.setTimeout(idleMs, onSilence);
      request.on('data', onData).on('end', onEnd).on('error', fail);
    }
    return promise;
  }
}

function tooLarge(maxBytes: number): LoomFailure {
  const message = `expected a body of at most ${maxBytes} bytes, got more; LOOM_MAX_BODY_BYTES sets the limit`;
  return { status: 413, type: 'request_too_large', code: 'body_too_large', message };
}

function overloaded(maxHeldBytes: number): LoomFailure {
  const message = `expected at most ${maxHeldBytes} bytes of requests at once, got more; LOOM_MAX_HELD_BYTES sets the limit`;
  return { status: 503, type: 'api_error', code: 'overloaded', message, retryAfterSeconds: 1 };
}

function stalled(idleMs: number): LoomFailure {
  const message = `expected the rest of the body, got nothing for ${idleMs} ms`;
  return { status: 408, type: 'invalid_request_error', code: 'body_stalled', message };
}
