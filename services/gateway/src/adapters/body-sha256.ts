import { createHash } from 'node:crypto';
import { type BodyParts, slicesOf } from '../core/splice.ts';

/** So much is hashed at a time, bytes: 0.1 ms, and below 1 ms where the processor has no instruction for it. */
const STEP_BYTES = 131_072;

/** SHA-256 of a body. It is made when it is asked for, or before that a step at a time: others wait for the same thread. */
export class BodySha256 {
  readonly #steps: Generator<void, string>;
  #hex = '';

  constructor(parts: BodyParts) {
    this.#steps = hash(parts);
  }

  /** Hashes a little more; returns whether there may be more still. */
  step(): boolean {
    const { value, done } = this.#steps.next();
    if (value !== undefined) this.#hex = value;
    return !done;
  }

  get hex(): string {
    while (this.step());
    return this.#hex;
  }
}

function* hash(parts: BodyParts): Generator<void, string> {
  const digest = createHash('sha256');
  for (const slice of slicesOf(parts, STEP_BYTES)) {
    for (const piece of slice) digest.update(piece);
    yield;
  }
  return digest.digest('hex');
}
