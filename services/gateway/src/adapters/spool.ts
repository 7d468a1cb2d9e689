import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@loom/shared/log.ts';
import { batchesOf, readEntries, type SpooledEntry } from './spool-file.ts';

/**
 * Keeps events on disk while Redis is away, in order, within a bound, and hands them over when it is back.
 *
 * Appends are synchronous: what the client has seen completed survives a `kill -9` of this process. A file that a dead
 * process left is taken over at the start. A batch that was refused in part, and a file whose hand-over a crash
 * interrupted, are handed over again, so consumers may see an event twice.
 */
export class Spool {
  readonly #folder: string;
  readonly #file: string;
  readonly #maxBytes: number;
  readonly #log: Logger;
  #bytes = 0;
  #pending = 0;
  /** Of the file that is being handed over: bytes that were taken. */
  #taken = 0;
  #isTorn = false;
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
    // What a full disk cut off must not spoil the line behind it.
    const line = `${this.#isTorn ? '\n' : ''}${JSON.stringify(entry)}\n`;
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
      this.#isTorn = true;
      this.#log.error('could not spool an event', { error });
      return;
    }
    this.#isTorn = false;
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
        // The disk lost what was written, or somebody took it away: nobody can hand it over any more.
        this.dropped += this.#pending;
        this.#pending = 0;
        this.#bytes = 0;
        return;
      }
      if (!existsSync(handed)) renameSync(this.#file, handed);
      for await (const { entries, end } of batchesOf(handed, this.#taken)) {
        await append(entries);
        this.#taken = end;
        this.#pending = Math.max(0, this.#pending - entries.length);
      }
      rmSync(handed);
      this.#taken = 0;
      this.#bytes = existsSync(this.#file) ? statSync(this.#file).size : 0;
    }
  }

  /** Takes over what processes that are no longer alive left behind. */
  #adopt(): void {
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      const left = readdirSync(this.#folder)
        .filter((name) => isLeft(this.#folder, name))
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

/** Whether this process may take a file over: it is its own, or the process that wrote it is no more. */
function isLeft(folder: string, name: string): boolean {
  const pid = Number(/^(\d+)\.jsonl(\.draining)?$/.exec(name)?.[1]);
  if (!(pid > 0)) return false;
  // After a reboot another process may bear the number.
  const bootedMs = Date.now() - uptime() * 1_000;
  return pid === process.pid || !isAlive(pid) || statSync(join(folder, name)).mtimeMs < bootedMs;
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
