import type { Entry } from './claim.ts';

const MAX_WAITING = 1_000;

/** The entries that are being handled now, about `limit` at most, and those that were handled without success and wait. */
export class InFlight {
  readonly #limit: number;
  readonly #running = new Map<string, Promise<void>>();
  readonly #waiting = new Set<string>();
  #vacancy: PromiseWithResolvers<void> | undefined;
  #closed = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#running.size;
  }

  isRunning(key: string, id: string): boolean {
    return this.#running.has(`${key} ${id}`);
  }

  /** Whether the entry was handled here, stayed pending, and has to wait until it may be claimed. */
  isWaiting(key: string, id: string): boolean {
    return this.#waiting.has(`${key} ${id}`);
  }

  /** @param settle resolves to whether the entry is settled; must not reject */
  run(entry: Entry, settle: (entry: Entry) => Promise<boolean>): void {
    const name = `${entry.key} ${entry.id}`;
    this.#waiting.delete(name);
    const running = settle(entry).then((settled) => {
      this.#running.delete(name);
      if (!settled) this.#wait(name);
      this.#wake();
    });
    this.#running.set(name, running);
  }

  /** How many more entries may be taken; waits until it is one at least, or resolves to 0 after `close`. */
  async room(): Promise<number> {
    while (this.#running.size >= this.#limit && !this.#closed) {
      this.#vacancy ??= Promise.withResolvers();
      await this.#vacancy.promise;
    }
    return this.#closed ? 0 : this.#limit - this.#running.size;
  }

  /** Takes no more: nobody waits for room any longer. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** Resolves when what runs now has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  /** A peer may settle it and we never hear of it: the oldest are forgotten, and at worst tried again sooner. */
  #wait(name: string): void {
    this.#waiting.add(name);
    if (this.#waiting.size <= MAX_WAITING) return;
    const [oldest = name] = this.#waiting;
    this.#waiting.delete(oldest);
  }

  #wake(): void {
    this.#vacancy?.resolve();
    this.#vacancy = undefined;
  }
}
