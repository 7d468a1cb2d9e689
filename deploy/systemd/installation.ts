import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** What an installation has put where; kept in it as `installed.json`. */
interface Installed {
  /** Files, links and folders, in the order in which they were made; nothing that was there before. */
  made: string[];
  /** SHA-256, hex, of each file that is the operator's to change, as it was installed. */
  settings: Record<string, string>;
}

/**
 * Puts files in their places and remembers them, so that they can be taken away again and nothing else is.
 *
 * @example
 * const installation = new Installation('/usr/local/lib/loom', say);
 * installation.write('/etc/systemd/system/loom.target', text);
 * installation.save();
 */
export class Installation {
  readonly #path: string;
  readonly #say: (line: string) => void;
  readonly #made: Set<string>;
  readonly #settings: Record<string, string>;
  /** What this version has; the rest of `#made` is an earlier one's. */
  readonly #current = new Set<string>();

  /**
   * @param home the folder that holds the record; it need not be there
   * @param say told what becomes of settings
   */
  constructor(home: string, say: (line: string) => void) {
    this.#path = join(home, 'installed.json');
    this.#say = say;
    const { made, settings }: Installed = this.exists
      ? JSON.parse(readFileSync(this.#path, 'utf8'))
      : { made: [], settings: {} };
    this.#made = new Set(made);
    this.#settings = settings;
  }

  get exists(): boolean {
    return existsSync(this.#path);
  }

  folder(path: string): void {
    if (existsSync(path)) {
      this.#current.add(path);
      return;
    }
    this.folder(dirname(path));
    mkdirSync(path);
    chmodSync(path, 0o755);
    this.#add(path);
  }

  /** Writes a file, for all to read unless `mode` says otherwise. */
  write(path: string, content: string, mode = 0o644): void {
    this.#replace(path, () => writeFileSync(path, content));
    chmodSync(path, mode);
  }

  /** Writes a file that is the operator's to change: one that was changed, or was there before, stays. */
  writeSettings(path: string, content: string, mode: number): void {
    if (existsSync(path) && hashOf(path) !== this.#settings[path]) {
      this.#say(`kept ${path}, which was changed`);
      return;
    }
    this.write(path, content, mode);
    this.#settings[path] = hashOf(path);
    this.#say(`wrote ${path}`);
  }

  link(path: string, target: string): void {
    this.#replace(path, () => symlinkSync(target, path));
  }

  /**
   * Copies a file, for all to read; for all to run, where its owner may run it. One that is there with the same size and
   * time stays: an SD card wears out by what is written.
   */
  copy(from: string, to: string): void {
    const { size, mode, atime, mtime } = statSync(from);
    const there = statSync(to, { throwIfNoEntry: false });
    if (there?.size === size && Math.trunc(there.mtimeMs) === mtime.getTime() && this.#made.has(to)) {
      this.#current.add(to);
      return;
    }
    this.#replace(to, () => copyFileSync(from, to));
    chmodSync(to, mode & 0o100 ? 0o755 : 0o644);
    utimesSync(to, atime, mtime);
  }

  /** Copies a folder, but for links and for whatever has a name that `without` matches. */
  copyFolder(from: string, to: string, without: RegExp): void {
    this.folder(to);
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      if (without.test(entry.name)) continue;
      const [source, target] = [join(from, entry.name), join(to, entry.name)];
      if (entry.isDirectory()) this.copyFolder(source, target, without);
      else if (entry.isFile()) this.copy(source, target);
    }
  }

  /** Writes the record, and takes away what an earlier version had put there and this one does not. */
  save(): void {
    this.write(this.#path, '');
    const stale = [...this.#made].filter((path) => !this.#current.has(path) && !(path in this.#settings));
    for (const path of stale.toReversed()) if (removeUnlessShared(path)) this.#made.delete(path);
    const installed: Installed = { made: [...this.#made], settings: this.#settings };
    writeFileSync(this.#path, JSON.stringify(installed));
  }

  /** Takes away what was put there, the newest first, and each folder that was made and is empty by then. */
  remove(): void {
    for (const path of [...this.#made].toReversed()) {
      const installed = this.#settings[path];
      if (installed !== undefined && existsSync(path) && hashOf(path) !== installed)
        this.#say(`kept ${path}, which was changed`);
      else removeUnlessShared(path);
    }
  }

  /** A program that runs keeps its file: it is replaced, not overwritten. */
  #replace(path: string, make: () => void): void {
    this.folder(dirname(path));
    const isThere = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    const isOthers = isThere && !this.#made.has(path);
    if (isThere) unlinkSync(path);
    make();
    if (!isOthers) this.#add(path);
  }

  #add(path: string): void {
    this.#made.add(path);
    this.#current.add(path);
  }
}

/** False for a folder that somebody else has put something into: it stays. */
function removeUnlessShared(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) {
    if (stat) unlinkSync(path);
    return true;
  }
  if (readdirSync(path).length > 0) return false;
  rmdirSync(path);
  return true;
}

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
