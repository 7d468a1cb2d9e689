import { dirname, join } from 'node:path';
import Watchpack from 'watchpack';

/** What somebody wants to be woken for; all paths are below the root. */
export interface Wishes {
  /** Files, whether they exist or not. */
  files: readonly string[];
  /** Folders that exist; whatever happens to a file in one of them. */
  folders: readonly string[];
}

/** Wishes that come within this time are told to the system together, milliseconds. */
const GATHER_MS = 20;

/**
 * Tells when files change, by inotify: one watch a folder, however many files. It is a hint and no more: there are
 * changes that it never tells (network mounts, some bind mounts), so whoever is woken looks, and looks now and then unasked.
 *
 * @example
 * const wakeUps = new WakeUps(root, (session, file) => watches.get(session)?.wake(file));
 * wakeUps.set(session, { files: ['-home-alpha/3f….jsonl'], folders: [] });
 */
export class WakeUps {
  readonly #root: string;
  readonly #wake: (owner: string, file: string) => void;
  readonly #watchpack = new Watchpack({ aggregateTimeout: GATHER_MS });
  readonly #wishes = new Map<string, Wishes>();
  #ownerOf = new Map<string, string>();
  #gathering: NodeJS.Timeout | undefined;

  /** @param wake is given whose wish it was, and the path below the root of what changed */
  constructor(root: string, wake: (owner: string, file: string) => void) {
    this.#root = root;
    this.#wake = wake;
    this.#watchpack.on('change', (path) => {
      const owner = this.#ownerOf.get(path) ?? this.#ownerOf.get(dirname(path));
      if (owner !== undefined) wake(owner, this.#below(path));
    });
  }

  /** Replaces the wishes of one owner. For each new one there is a wake-up when the system tells of it from then on. */
  set(owner: string, wishes: Wishes): void {
    this.#wishes.set(owner, wishes);
    this.#gather();
  }

  delete(owner: string): void {
    if (this.#wishes.delete(owner)) this.#gather();
  }

  close(): void {
    clearTimeout(this.#gathering);
    this.#watchpack.close();
  }

  #gather(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#apply();
    }, GATHER_MS);
  }

  /** All wishes at once: Watchpack keeps what it has of them already. */
  #apply(): void {
    const files: string[] = [];
    const directories: string[] = [];
    const before = this.#ownerOf;
    this.#ownerOf = new Map();
    for (const [owner, wishes] of this.#wishes) {
      for (const file of wishes.files) files.push(this.#own(file, owner));
      for (const folder of wishes.folders) directories.push(this.#own(folder, owner));
    }
    // As missing, because that is right for both: a file that is not there is then waited for in silence.
    this.#watchpack.watch({ missing: files, directories, startTime: Date.now() });
    for (const [path, owner] of this.#ownerOf) if (!before.has(path)) this.#wake(owner, this.#below(path));
  }

  #own(name: string, owner: string): string {
    const path = join(this.#root, name);
    this.#ownerOf.set(path, owner);
    return path;
  }

  #below(path: string): string {
    return path.slice(this.#root.length + 1);
  }
}
