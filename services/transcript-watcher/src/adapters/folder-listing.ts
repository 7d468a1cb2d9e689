import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A folder that changed this recently may change again without a new time: file systems count in steps of up to 2 s,
 * and the clock of a network mount is another one. Milliseconds.
 */
const SETTLED_MS = 5_000;

/** The names in a folder, read anew only when the folder says that it changed. */
export class FolderListing {
  readonly #path: string;
  readonly #mayBeLink: boolean;
  #names: readonly string[] = [];
  /** Undefined: to be read, whatever the folder says. */
  #mtimeMs: number | undefined;

  constructor(path: string, { mayBeLink = false } = {}) {
    this.#path = path;
    this.#mayBeLink = mayBeLink;
  }

  /** The names as of the last `refresh`. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** Looks again; a folder that does not exist, is a link that it may not be, or may not be read has no names. Resolves to whether it was read. */
  async refresh(): Promise<boolean> {
    const mtimeMs = await this.#findTime();
    if (mtimeMs === undefined) {
      const hadNames = this.#names.length > 0;
      this.#names = [];
      this.#mtimeMs = undefined;
      return hadNames;
    }
    if (mtimeMs === this.#mtimeMs) return false;
    // Gone since, or not ours to read: no transcripts for us in there.
    this.#names = await readdir(this.#path).catch(() => []);
    this.#mtimeMs = Math.abs(Date.now() - mtimeMs) > SETTLED_MS ? mtimeMs : undefined;
    return true;
  }

  /** The folder below this one, with a listing of its own. */
  folder(name: string): FolderListing {
    return new FolderListing(join(this.#path, name));
  }

  async #findTime(): Promise<number | undefined> {
    try {
      const stats = await (this.#mayBeLink ? stat : lstat)(this.#path);
      return stats.isDirectory() ? stats.mtimeMs : undefined;
    } catch {
      // Not there yet, or not any more: the next look will tell.
      return undefined;
    }
  }
}
