/**
 * The lines that were published and have not been met again since the file is read anew: a multiset of their hashes. A
 * file that was cut short or replaced is read from its start; what is in here is passed over, each as often as it was
 * published.
 *
 * @example
 * const published = new PublishedLines(['a', 'b']);
 * published.areNew(['a', 'a', 'c']); // [false, true, true]
 * published.take(['a', 'a', 'c']);
 * published.size; // 1
 */
export class PublishedLines {
  readonly #left = new Map<string, number>();
  #size = 0;

  constructor(hashes: Iterable<string>) {
    for (const hash of hashes) {
      this.#left.set(hash, (this.#left.get(hash) ?? 0) + 1);
      this.#size += 1;
    }
  }

  /** How many lines are left. */
  get size(): number {
    return this.#size;
  }

  /** For each line whether it was never published, all being met in this order. Takes nothing. */
  areNew(hashes: readonly string[]): boolean[] {
    const taken = new Map<string, number>();
    return hashes.map((hash) => {
      const times = (taken.get(hash) ?? 0) + 1;
      taken.set(hash, times);
      return times > (this.#left.get(hash) ?? 0);
    });
  }

  /** Takes lines that were met; those that are not in here change nothing. */
  take(hashes: Iterable<string>): void {
    for (const hash of hashes) {
      const times = this.#left.get(hash);
      if (times === undefined) continue;
      if (times === 1) this.#left.delete(hash);
      else this.#left.set(hash, times - 1);
      this.#size -= 1;
    }
  }
}
