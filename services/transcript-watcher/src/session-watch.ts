import type { Logger } from '@loom/shared/log.ts';
import { errorTypeOf, reasonOf } from '@loom/shared/redaction.ts';
import { isPassing, type Streams } from '@loom/shared/streams.ts';
import type { LimitFunction } from 'p-limit';
import { findBeginning } from './adapters/beginning.ts';
import type { LineStore } from './adapters/line-store.ts';
import type { SessionFile, SessionFiles } from './adapters/session-files.ts';
import type { WakeUps } from './adapters/wake-ups.ts';
import type { WatchedSessions } from './adapters/watched-sessions.ts';
import { transcriptName } from './core/transcript-path.ts';
import { FollowedFile } from './followed-file.ts';
import type { TailCounters } from './tail.ts';

/** What all sessions of a process did. */
export interface WatchCounters extends TailCounters {
  /** Sessions that are held now. */
  held: number;
  /** Files and hints that were refused. */
  refused: number;
}

/** What the sessions of a process share. */
export interface WatchGround {
  streams: Streams;
  log: Logger;
  watched: WatchedSessions;
  files: SessionFiles;
  store: LineStore;
  /** Absent where files are only looked at. */
  wakeUps: WakeUps | undefined;
  /** How many files are read at a time. */
  limit: LimitFunction;
  counters: WatchCounters;
  /** Where reading starts in files that are there when a session is watched for the first time. */
  from: 'start' | 'end';
  idleMs: number;
}

/** A conversation that began at most so long before its first request began with it, milliseconds. */
const NEW_MS = 10_000;

/** A fault that comes this often in a row is no passing one. */
const MAX_FAULTS = 3;

/** One session, for as long as this process holds its lease: its files, who reads them when, and when it is let go. */
export class SessionWatch {
  readonly #session: string;
  readonly #ground: WatchGround;
  readonly #followed = new Map<string, FollowedFile>();
  readonly #unread = new Set<string>();
  readonly #end = Promise.withResolvers<void>();
  readonly #signal: AbortSignal;
  /** Whether the session was watched before; undefined before that is known. */
  #isBegun: boolean | undefined;
  /** The files that the first look at a new session found. */
  #first: ReadonlySet<string> | undefined;
  #firstRequestAt: number | undefined;
  #project: string | undefined;
  #reading: Promise<void> | undefined;
  #looking: Promise<void> | undefined;
  #wishes = '';
  #hinted: SessionFile[] = [];
  #activeAt = performance.now();
  #faults = 0;
  /** What faults were told of, so that each is told once. */
  readonly #told = new Set<string>();
  #isClosed = false;

  /** @param signal the lease is gone, or wanted back */
  constructor(session: string, ground: WatchGround, signal: AbortSignal) {
    this.#session = session;
    this.#ground = ground;
    this.#signal = signal;
    // It may reject before anybody waits for it.
    this.#end.promise.catch(() => {});
  }

  /** When something new came last, as `performance.now()` counts. */
  get activeAt(): number {
    return this.#activeAt;
  }

  /**
   * Follows the session's files. Resolves when nothing new came for the idle time, or after the signal; rejects for a
   * fault that does not pass.
   */
  async run(): Promise<void> {
    const { watched, files, log, wakeUps, counters } = this.#ground;
    const session = this.#session;
    const { project, firstRequestAt, isBegun, isEnded } = await watched.find(session);
    // Each request asks for a lease, also while there is one: this is what was asked for last, and it was served.
    if (isEnded) return;

    log.info('lease taken', { session });
    counters.held += 1;
    this.#firstRequestAt = firstRequestAt;
    this.#project = project;
    if (project !== undefined) this.#hinted = [{ file: `${project}/${transcriptName(session)}` }];
    this.#signal.addEventListener('abort', () => this.#end.resolve());
    if (this.#signal.aborted) this.#end.resolve();
    try {
      await files.refresh();
      this.#isBegun = isBegun;
      this.#lookAgain();
      await this.#end.promise;
    } finally {
      this.#isClosed = true;
      counters.held -= 1;
      wakeUps?.delete(session);
      await Promise.all([this.#reading, this.#looking]);
      files.forget(session);
    }
    if (!this.#signal.aborted) log.info('lease ended', { session });
  }

  /**
   * Tells Redis what it lost of the session, if it came back empty: where reading stands, and that it had begun.
   *
   * @returns whether the session was gone; then it needs a new lease
   */
  async restore(): Promise<boolean> {
    if (this.#isBegun === undefined) return false;
    for (const followed of this.#followed.values()) await followed.restore();
    const facts = { isBegun: this.#isBegun, firstRequestAt: this.#firstRequestAt, project: this.#project };
    return this.#ground.watched.restore(this.#session, facts);
  }

  /** Something happened to a file, or to a folder of the session's. */
  wake(file: string): void {
    if (this.#followed.has(file)) this.#read(file);
    else this.#lookAgain();
  }

  /** Looks for what no wake-up told, and whether it is time to let go. Never rejects. */
  async sweep(): Promise<void> {
    if (this.#isBegun === undefined) return;
    await this.#lookAgain();
    for (const [file, followed] of this.#followed) if (await followed.hasChanged()) this.#read(file);
    await this.#endIfIdle().catch((error: unknown) => this.#fault(error));
  }

  /** Follows the files that are new. Looks at the same time would follow one twice: there is but one. */
  #lookAgain(): Promise<void> {
    if (this.#isClosed || this.#isBegun === undefined) return Promise.resolve();
    this.#looking ??= this.#look()
      .catch((error: unknown) => this.#fault(error))
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { files, wakeUps } = this.#ground;
    const places = await files.find(this.#session);
    const found = [...this.#hinted, ...places.files];
    if (!this.#isBegun) this.#first ??= new Set(found.map(({ file }) => file));
    const failures: unknown[] = [];
    for (const one of found) {
      if (this.#isClosed) return;
      // One file's trouble is not the others'.
      if (!this.#followed.has(one.file)) await this.#follow(one).catch((error: unknown) => failures.push(error));
    }
    if (this.#isClosed) return;
    // A refused file is looked at in each sweep. Watchpack tries again and again, without a rest, to watch a folder that
    // it may not read.
    const watchable = [...this.#followed].filter(([, followed]) => !followed.isRefused).map(([file]) => file);
    const wishes = { files: watchable, folders: places.folders };
    const shown = JSON.stringify(wishes);
    if (shown !== this.#wishes) wakeUps?.set(this.#session, wishes);
    this.#wishes = shown;
    if (failures.length > 0) throw failures[0];
    await this.#noteBegun();
  }

  /** Not before all have begun: of what a crash leaves out, the next holder finds the end or the start in the same way. */
  async #noteBegun(): Promise<void> {
    if (this.#isBegun) return;
    await this.#ground.watched.noteBegun(this.#session);
    this.#isBegun = true;
    this.#first = undefined;
  }

  async #follow(found: SessionFile): Promise<void> {
    const followed = new FollowedFile(this.#session, found, this.#ground);
    await followed.begin(await this.#startOf(found.file));
    this.#followed.set(found.file, followed);
    // Where there are wake-ups, the first one says that they have begun: whatever was written before is read then.
    if (!this.#ground.wakeUps) this.#read(found.file);
  }

  /** The client writes the first prompt of a conversation about when it sends it: at the end of that it would be missed. */
  async #startOf(file: string): Promise<'start' | 'end'> {
    const { files, from } = this.#ground;
    if (from === 'start' || !this.#first?.has(file)) return 'start';
    if (this.#firstRequestAt === undefined) return 'end';
    const beganAt = await findBeginning(files.root, file);
    return beganAt !== undefined && beganAt >= this.#firstRequestAt - NEW_MS ? 'start' : 'end';
  }

  /** Has a file read once more. One file of a session is read at a time, and few of a process. */
  #read(file: string): void {
    this.#unread.add(file);
    this.#reading ??= this.#readAll();
  }

  async #readAll(): Promise<void> {
    // Each file waits in line anew, so that a busy session keeps no other one from its turn.
    while (this.#unread.size > 0 && !this.#isClosed) await this.#ground.limit(() => this.#readNext());
    this.#reading = undefined;
  }

  async #readNext(): Promise<void> {
    const [file] = this.#unread;
    const followed = file === undefined ? undefined : this.#followed.get(file);
    if (file === undefined || !followed || this.#isClosed) return;
    this.#unread.delete(file);
    try {
      if (await followed.read(this.#signal)) this.#activeAt = performance.now();
      this.#faults = 0;
    } catch (error) {
      this.#fault(error);
    }
  }

  async #endIfIdle(): Promise<void> {
    const { watched, idleMs } = this.#ground;
    if (this.#isClosed || this.#reading || performance.now() - this.#activeAt < idleMs) return;
    const restMs = await watched.end(this.#session, idleMs);
    if (restMs === 0) this.#end.resolve();
    else this.#activeAt = performance.now() - idleMs + restMs;
  }

  /** The next sweep tries again; one that comes each time is for another start, and for the operator. */
  #fault(error: unknown): void {
    const { streams, log } = this.#ground;
    // An outage is told of by whoever owns the connection, and may take its time.
    if (!streams.connected || this.#isClosed) return;
    // Redis is full, say: that passes, and no other start would help.
    if (errorTypeOf(error) !== 'ReplyError' || !isPassing(error)) this.#faults += 1;
    if (this.#faults >= MAX_FAULTS) this.#end.reject(error);
    const reason = reasonOf(error);
    if (this.#told.has(reason)) return;
    this.#told.add(reason);
    log.warn('reading failed', { session: this.#session, attempt: this.#faults, error });
  }
}
