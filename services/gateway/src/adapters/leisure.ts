/** How long it keeps the thread to itself in one turn of the event loop, milliseconds. */
const SLICE_MS = 1;

/** Is begun in a later turn; where it can be interrupted it returns its steps. Must not throw. */
export type Task = () => Iterator<void, void> | undefined;

/**
 * Does what nobody waits for, in order and a little in each turn of the event loop: what is being relayed goes first,
 * however much ends at once.
 */
export class Leisure {
  readonly #tasks: Task[] = [];
  #steps: Iterator<void, void> | undefined;
  #isScheduled = false;

  add(task: Task): void {
    this.#tasks.push(task);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || (!this.#steps && this.#tasks.length === 0)) return;
    this.#isScheduled = true;
    setImmediate(() => this.#work());
  }

  #work(): void {
    const beganMs = performance.now();
    this.#isScheduled = false;
    do {
      this.#steps ??= this.#tasks.shift()?.();
      if (this.#steps?.next().done) this.#steps = undefined;
    } while ((this.#steps || this.#tasks.length > 0) && performance.now() - beganMs < SLICE_MS);
    this.#schedule();
  }
}
