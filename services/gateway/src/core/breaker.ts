const MISSES_TO_OPEN = 3;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;

/**
 * Skips whoever does not answer: three misses in a row open it for 1 s, each further miss doubles that up to 15 s; when
 * the pause is over one question at a time probes, and any answer closes it.
 *
 * @example
 * if (breaker.allows(now)) { … ; answered ? breaker.succeeded() : breaker.missed(now); }
 */
export class Breaker {
  readonly #missesToOpen: number;
  #misses = 0;
  #openUntilMs = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #probing = false;

  constructor(missesToOpen = MISSES_TO_OPEN) {
    this.#missesToOpen = missesToOpen;
  }

  get isOpen(): boolean {
    return this.#misses >= this.#missesToOpen;
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
