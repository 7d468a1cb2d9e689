const MISSES_TO_OPEN = 3;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;

/**
 * Skips whoever does not answer: three misses in a row open it for 1 s; when the pause is over one question at a time
 * probes. A probe that misses doubles the pause, up to 15 s; any answer closes it.
 *
 * @example
 * if (breaker.allows(now)) { … ; answered ? breaker.succeeded() : breaker.missed(now); }
 */
export class Breaker {
  #misses = 0;
  #openUntilMs = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #probing = false;

  get isOpen(): boolean {
    return this.#misses >= MISSES_TO_OPEN;
  }

  /** Whether to ask now; while open, true once a pause: for the probe. Whoever asks reports back. */
  allows(nowMs: number): boolean {
    if (!this.isOpen) return true;
    if (this.#probing || nowMs < this.#openUntilMs) return false;
    this.#probing = true;
    return true;
  }

  succeeded(): void {
    this.#misses = 0;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#probing = false;
  }

  missed(nowMs: number): void {
    // Asked before it opened: ten requests at once are no reason for a pause of 15 s.
    if (this.isOpen && !this.#probing) return;
    this.#misses++;
    if (!this.isOpen) return;
    this.#openUntilMs = nowMs + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    this.#probing = false;
  }

  /** The question was never settled (the client left): neither an answer nor a miss. */
  abandoned(): void {
    this.#probing = false;
  }
}
