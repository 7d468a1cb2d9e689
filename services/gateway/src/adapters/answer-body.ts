import type { ServerResponse } from 'node:http';

const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/**
 * Writes an answer's body after its head. Where it goes out in chunks (RFC 9112, section 7.1) it frames each piece itself,
 * into one buffer: Node would hand the kernel four of them, at several times the price for a piece as small as an event.
 */
export class AnswerBody {
  readonly #response: ServerResponse;
  readonly #isChunked: boolean;

  constructor(response: ServerResponse) {
    this.#response = response;
    this.#isChunked = response.chunkedEncoding;
    response.chunkedEncoding = false;
  }

  /** @returns whether the client takes more; if not, `drain` of the response says when */
  write(piece: Buffer): boolean {
    return this.#response.write(this.#isChunked && piece.length > 0 ? chunkOf(piece) : piece);
  }

  end(): void {
    if (this.#isChunked) this.#response.end(LAST_CHUNK);
    else this.#response.end();
  }
}

function chunkOf(piece: Buffer): Buffer {
  const size = piece.length.toString(16);
  const start = size.length + 2;
  const chunk = Buffer.allocUnsafe(start + piece.length + 2);
  chunk.write(`${size}\r\n`, 'latin1');
  chunk.set(piece, start);
  chunk.write('\r\n', start + piece.length, 'latin1');
  return chunk;
}
