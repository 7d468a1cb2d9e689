import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '@loom/shared';

/** What a stream entry needs to be written later. */
export interface SpooledEntry {
  key: string;
  fields: string[];
  keep: number;
}

const BATCH = 100;

/**
 * Keeps events on disk while Redis is away, in order, within a bound, and hands them over when it is back.
 *
 * Appends are synchronous: what the client has seen completed survives a `kill -9` of this process. A file that a dead
 * process left is taken over at the start. An interrupted hand-over starts again, so consumers may see an event twice.
 */
export class Spool {
  readonly #folder: string;
  readonly #file: string;
  readonly #maxBytes: number;
  readonly #log: Logger;
  #bytes = 0;
  #pending = 0;
  #draining: Promise<void> | undefined;
  /** Entries that did not fit, or that the disk refused, since the last hand-over. */
  dropped = 0;

  constructor(options: { folder: string; maxBytes: number; log: Logger }) {
    this.#folder = options.folder;
    this.#maxBytes = options.maxBytes;
    this.#log = options.log;
    this.#file = join(this.#folder, `${process.pid}.jsonl`);
    this.#adopt();
  }

  /** Whether entries wait: newer ones then go behind them, so that the order is kept. */
  get isEmpty(): boolean {
    return this.#pending === 0;
  }

  get pending(): number {
    return this.#pending;
  }

  add(entry: SpooledEntry): void {
    const line = `${JSON.stringify(entry)}\n`;
    const size = Buffer.byteLength(line);
    if (this.#bytes + size > this.#maxBytes) {
      this.dropped++;
      return;
    }
    try {
      appendFileSync(this.#file, line, { mode: 0o600 });
    } catch (error) {
      // A full or missing disk costs events, never a request.
      this.dropped++;
      this.#log.error('could not spool an event', { error });
      return;
    }
    this.#bytes += size;
    this.#pending++;
  }

  /**
   * Hands all entries over, oldest first, also those that are added meanwhile; stops at the first refusal.
   *
   * @param append writes a batch to Redis; rejects when it did not take it
   */
  drain(append: (entries: SpooledEntry[]) => Promise<void>): Promise<void> {
    this.#draining ??= this.#drain(append).finally(() => {
      this.#draining = undefined;
    });
    return this.#draining;
  }

  async #drain(append: (entries: SpooledEntry[]) => Promise<void>): Promise<void> {
    const handed = `${this.#file}.draining`;
    while (!this.isEmpty) {
      if (!existsSync(handed) && !existsSync(this.#file)) {
        // Somebody else took the files away: what was in them cannot be handed over by anyone.
        this.dropped += this.#pending;
        this.#pending = 0;
        this.#bytes = 0;
        return;
      }
      if (!existsSync(handed)) renameSync(this.#file, handed);
      const entries = readEntries(handed);
      for (let at = 0; at < entries.length; at += BATCH) await append(entries.slice(at, at + BATCH));
      rmSync(handed);
      this.#pending = Math.max(0, this.#pending - entries.length);
      this.#bytes = existsSync(this.#file) ? statSync(this.#file).size : 0;
      if (this.#bytes === 0) this.#pending = 0;
    }
  }

  /** Takes over what processes that are no longer alive left behind. */
  #adopt(): void {
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      const left = readdirSync(this.#folder)
        .filter((name) => isLeft(name))
        .map((name) => join(this.#folder, name));
      const entries = left.sort(olderFirst).flatMap(readEntries);
      if (entries.length > 0) {
        const adopted = `${this.#file}.adopted`;
        writeFileSync(adopted, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''), { mode: 0o600 });
        renameSync(adopted, this.#file);
        this.#bytes = statSync(this.#file).size;
      }
      for (const file of left) if (file !== this.#file) rmSync(file);
      this.#pending = entries.length;
    } catch (error) {
      this.#log.error('could not open the spool folder: events are dropped while Redis is away', { error });
    }
  }
}

/** A torn last line is what a crash in mid-write leaves: it is no event. */
function readEntries(file: string): SpooledEntry[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as SpooledEntry];
      } catch {
        return [];
      }
    });
}

/** Whether a file is one that this process may take over: its own, or that of a process that is no more. */
function isLeft(name: string): boolean {
  const pid = Number(/^(\d+)\.jsonl(\.draining)?$/.exec(name)?.[1]);
  return pid > 0 && (pid === process.pid || !isAlive(pid));
}

/** What was being handed over is older than what was added meanwhile. */
function olderFirst(a: string, b: string): number {
  return Number(b.endsWith('.draining')) - Number(a.endsWith('.draining')) || statSync(a).mtimeMs - statSync(b).mtimeMs;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
