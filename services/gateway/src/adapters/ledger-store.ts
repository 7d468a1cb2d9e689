import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import { LRUCache } from 'lru-cache';
import { LedgerEntry } from '../core/ledger.ts';
import type { BoundedReads } from './bounded-reads.ts';
import type { Metrics } from './metrics.ts';
import { MAX_UNWRITTEN, REMEMBERED_SESSIONS } from './session-records.ts';

/** So much longer than other reads: a miss would send the whole history without its edits, and have it billed anew. */
const TIMES_AS_LONG = 5;
const KEEP_SECONDS = 30 * 24 * 3600;
const CATCH_UP_MS = 1_000;
const CATCH_UP_BATCH = 100;

interface LedgerRecord {
  session: string;
  anchor: string;
  entry: LedgerEntry;
}

interface SessionLedger {
  /** By anchor, then by rewriter. */
  entries: Map<string, Map<string, LedgerEntry>>;
  /** Anchors that Redis was asked about. */
  known: Set<string>;
  isLoaded: boolean;
}

/**
 * The record of durable edits: memory first, the hash `<prefix>:ledger:<session>` (fields `<anchor>:<rewriter>`) for
 * restarts and other gateways. While Redis is away memory serves, and what it did not take is written later.
 */
export class LedgerStore {
  readonly #sessions = new LRUCache<string, SessionLedger>({ max: REMEMBERED_SESSIONS });
  /** What is not known to be in Redis, by key and field. */
  readonly #unwritten = new Map<string, LedgerRecord>();
  readonly #streams: Streams;
  readonly #reads: BoundedReads;
  readonly #metrics: Pick<Metrics, 'unwrittenDropped'>;
  readonly #log: Logger;
  readonly #catchUp: NodeJS.Timeout;
  #isCatchingUp = false;

  constructor(streams: Streams, reads: BoundedReads, metrics: Pick<Metrics, 'unwrittenDropped'>, log: Logger) {
    this.#streams = streams;
    this.#reads = reads;
    this.#metrics = metrics;
    this.#log = log;
    this.#catchUp = setInterval(() => void this.#writeAll(), CATCH_UP_MS);
    this.#catchUp.unref();
  }

  /** Writes what Redis has not yet got, if it is there. */
  async close(): Promise<void> {
    clearInterval(this.#catchUp);
    await this.#writeAll();
  }

  /** Brings what Redis knows about these anchors into memory; one read of at most 250 ms by default, none when all are known. */
  async load(session: string, anchors: string[], rewriters: string[]): Promise<void> {
    const ledger = this.#ledger(session);
    const unknown = anchors.filter((anchor) => !ledger.known.has(anchor));
    if (unknown.length === 0) return;
    const key = this.#key(session);
    if (!ledger.isLoaded) {
      const replies = await this.#reads.read((pipeline) => pipeline.hgetall(key), TIMES_AS_LONG);
      if (!replies) return;
      for (const [field, value] of Object.entries((replies[0] ?? {}) as Record<string, string>))
        this.#take(ledger, field, value);
      ledger.isLoaded = true;
    } else if (rewriters.length > 0) {
      const fields = unknown.flatMap((anchor) => rewriters.map((rewriter) => `${anchor}:${rewriter}`));
      const replies = await this.#reads.read((pipeline) => pipeline.hmget(key, ...fields), TIMES_AS_LONG);
      if (!replies) return;
      const values = (replies[0] ?? []) as (string | null)[];
      for (const [index, field] of fields.entries()) this.#take(ledger, field, values[index] ?? null);
    }
    for (const anchor of unknown) ledger.known.add(anchor);
  }

  entriesAt(session: string, anchor: string): LedgerEntry[] {
    return [...(this.#sessions.get(session)?.entries.get(anchor)?.values() ?? [])];
  }

  /** Remembers what a rewriter answered about a message; the first answer stays. */
  record(session: string, anchor: string, entry: LedgerEntry): void {
    const ledger = this.#ledger(session);
    if (!remember(ledger, anchor, entry)) return;
    ledger.known.add(anchor);
    const news = { session, anchor, entry };
    this.#keepUnwritten(news);
    // The request that it is in goes first: its bytes are what somebody waits for.
    setImmediate(() => void this.#write([news]));
  }

  /** After a rewriter was bypassed: another gateway may yet get its answer about this message, when the client tries again. */
  recheck(session: string, anchor: string): void {
    this.#sessions.get(session)?.known.delete(anchor);
  }

  #ledger(session: string): SessionLedger {
    let ledger = this.#sessions.get(session);
    if (!ledger) {
      ledger = { entries: new Map(), known: new Set(), isLoaded: false };
      this.#sessions.set(session, ledger);
      // It may have given its place to others before Redis took all of it.
      for (const unwritten of this.#unwritten.values())
        if (unwritten.session === session) remember(ledger, unwritten.anchor, unwritten.entry);
    }
    return ledger;
  }

  #take(ledger: SessionLedger, field: string, value: string | null): void {
    if (value === null) return;
    const anchor = field.slice(0, 64);
    try {
      remember(ledger, anchor, LedgerEntry.parse(JSON.parse(value)));
    } catch (error) {
      this.#log.warn('a ledger entry is unreadable and has no effect', { entry: field, error });
    }
  }

  /** Whether Redis took any of them. */
  async #write(records: LedgerRecord[]): Promise<boolean> {
    const pipeline = this.#streams.redis.pipeline();
    for (const { session, anchor, entry } of records) {
      const key = this.#key(session);
      // The first answer stays, whichever gateway got it.
      pipeline.hsetnx(key, fieldOf(anchor, entry), JSON.stringify(entry)).expire(key, KEEP_SECONDS);
    }
    // A pipeline resolves also when Redis refused everything: each reply is then an error. Memory serves meanwhile.
    const replies = (await untraced(() => pipeline.exec()).catch(() => null)) ?? [];
    const written = records.filter((_, at) => replies[2 * at]?.[0] === null && replies[2 * at + 1]?.[0] === null);
    for (const record of written) this.#unwritten.delete(this.#idOf(record));
    return written.length > 0;
  }

  #keepUnwritten(record: LedgerRecord): void {
    const id = this.#idOf(record);
    if (this.#unwritten.size < MAX_UNWRITTEN || this.#unwritten.has(id)) {
      this.#unwritten.set(id, record);
      return;
    }
    // Beyond the bound a restart would forget the newest ones.
    this.#metrics.unwrittenDropped.add(1, { kind: 'edit' });
    this.#log.error('the ledger has too much to catch up: an entry may be lost', { session: record.session });
  }

  async #writeAll(): Promise<void> {
    if (this.#isCatchingUp) return;
    this.#isCatchingUp = true;
    const records = [...this.#unwritten.values()];
    for (let at = 0; at < records.length && this.#streams.connected; at += CATCH_UP_BATCH) {
      if (!(await this.#write(records.slice(at, at + CATCH_UP_BATCH)))) break;
    }
    this.#isCatchingUp = false;
  }

  #idOf({ session, anchor, entry }: LedgerRecord): string {
    return `${this.#key(session)} ${fieldOf(anchor, entry)}`;
  }

  #key(session: string): string {
    return this.#streams.key(`ledger:${session}`);
  }
}

/**
 * Adds an entry; what is there already stays, since it went out, and only the bytes that went out can match the cache.
 *
 * @returns whether it is new
 */
function remember({ entries }: SessionLedger, anchor: string, entry: LedgerEntry): boolean {
  const atAnchor = entries.get(anchor) ?? new Map<string, LedgerEntry>();
  if (atAnchor.has(entry.rewriter)) return false;
  entries.set(anchor, atAnchor.set(entry.rewriter, entry));
  return true;
}

function fieldOf(anchor: string, { rewriter }: LedgerEntry): string {
  return `${anchor}:${rewriter}`;
}
