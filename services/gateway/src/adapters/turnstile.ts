/**
 * Lets one request in at each turn of the event loop while answers are being relayed: however many come at once, an answer
 * then waits for one of them and not for all. While nothing is relayed they come in as they are, which is cheaper.
 */
export class Turnstile {
  readonly #isRelaying: () => boolean;
  readonly #waiting: (() => void)[] = [];

  constructor(isRelaying: () => boolean) {
    this.#isRelaying = isRelaying;
  }

  /** @returns when it is its turn, in the order of the calls; undefined where that is now */
  pass(): Promise<void> | undefined {
    if (this.#waiting.length === 0 && !this.#isRelaying()) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#turn());
    return promise;
  }

  #turn(): void {
    // What awaits it runs before anything else of this turn does.
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) setImmediate(() => this.#turn());
  }
}
