import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { TurnRecord } from '../core/turn-record.ts';
import type { BoundedReads } from './bounded-reads.ts';
import type { Metrics } from './metrics.ts';

const KEEP_SECONDS = 30 * 24 * 3600;
/** Sessions, the last used ones, that a gateway has in memory; what it held of others is read from Redis again. */
export const REMEMBERED_SESSIONS = 1_000;
/** What waits for Redis at most, beside what is in memory: sessions here, durable edits in the ledger. */
export const MAX_UNWRITTEN = 10_000;
/** Agents that run: what is remembered of the others has had its use. */
const REMEMBERED_AGENTS = 1_000;
/** A session without a profile may get one by way of another gateway. */
const CHECKED_FOR_MS = 10_000;

/** What is remembered of a session, because not every request says it. */
export interface SessionRecord {
  profile?: string;
  /** Newest first: requests that do not name their turn (subagents, compactions) belong to one of them. */
  turns?: TurnRecord[];
}

const Turns = z.array(TurnRecord);

/**
 * Remembers sessions: in memory, and in the hash `<prefix>:session:<id>` for restarts and other gateways. While Redis is
 * away memory serves, and what it did not take is written when it is back.
 */
export class SessionRecords {
  readonly #memory = new LRUCache<string, SessionRecord>({
    max: REMEMBERED_SESSIONS,
    // So that its next request asks Redis.
    dispose: (_, session, reason) => {
      if (reason === 'evict') this.#checked.delete(session);
    },
  });
  readonly #checked = new LRUCache<string, true>({ max: REMEMBERED_SESSIONS, ttl: CHECKED_FOR_MS });
  /** What Redis has not got as it is, also of sessions that are no longer in memory. */
  readonly #unwritten = new LRUCache<string, SessionRecord>({
    max: MAX_UNWRITTEN,
    dispose: (_, session, reason) => {
      if (reason === 'evict') this.#forget(session);
    },
  });
  readonly #agents = new LRUCache<string, TurnRecord>({ max: REMEMBERED_AGENTS });
  readonly #streams: Streams;
  readonly #reads: BoundedReads;
  readonly #metrics: Pick<Metrics, 'unwrittenDropped'>;
  readonly #log: Logger;

  constructor(streams: Streams, reads: BoundedReads, metrics: Pick<Metrics, 'unwrittenDropped'>, log: Logger) {
    this.#streams = streams;
    this.#reads = reads;
    this.#metrics = metrics;
    this.#log = log;
    this.#streams.onReady(() => {
      for (const [session, record] of [...this.#unwritten.entries()]) void this.#write(session, record);
    });
  }

  /** From memory, else from Redis, if it answers in time; empty when neither knows. */
  async find(session: string): Promise<SessionRecord> {
    const known = this.peek(session);
    if ((known.profile !== undefined && known.turns) || this.#checked.has(session)) return known;
    const replies = await this.#reads.read((pipeline) => pipeline.hgetall(this.#key(session)));
    if (!replies) return this.peek(session);
    const { profile, turns } = (replies[0] ?? {}) as Record<string, string>;
    // What another request said meanwhile is newer.
    const record = { ...(profile && { profile }), ...(turns && this.#parse(turns)), ...this.peek(session) };
    this.#memory.set(session, record);
    this.#checked.set(session, true);
    return record;
  }

  /** From memory alone. */
  peek(session: string): SessionRecord {
    return this.#memory.get(session) ?? this.#unwritten.get(session) ?? {};
  }

  /** Takes down what a request said; what it did not say stays. */
  remember(session: string, said: SessionRecord): void {
    const known = this.peek(session);
    const record = { ...known, ...said };
    const news = Object.entries(said).filter(([name, value]) => known[name as keyof SessionRecord] !== value);
    if (news.length > 0) this.#memory.set(session, record);
    if (this.#unwritten.has(session)) void this.#write(session, record);
    else if (news.length > 0) void this.#write(session, Object.fromEntries(news));
  }

  /** The turn that an agent was seen in; in memory alone, since after a restart the newest one will do. */
  turnOfAgent(session: string, agentId: string): TurnRecord | undefined {
    return this.#agents.get(`${session}:${agentId}`);
  }

  rememberAgent(session: string, agentId: string, turn: TurnRecord): void {
    this.#agents.set(`${session}:${agentId}`, turn);
  }

  #forget(session: string): void {
    this.#metrics.unwrittenDropped.add(1, { kind: 'session' });
    this.#log.warn('a session is forgotten that Redis did not get: its next request may begin a new turn', { session });
  }

  #parse(turns: string): SessionRecord {
    try {
      return { turns: Turns.parse(JSON.parse(turns)) };
    } catch (error) {
      // Its turns cannot be gone on with, but new ones can begin.
      this.#log.warn('the turns of a session are unreadable', { error });
      return {};
    }
  }

  async #write(session: string, record: SessionRecord): Promise<void> {
    if (!this.#streams.connected) {
      // Tried all the same, it would cost each request two errors with their stacks.
      this.#owe(session, record);
      return;
    }
    const key = this.#key(session);
    const { profile, turns } = record;
    const fields = { ...(profile !== undefined && { profile }), ...(turns && { turns: JSON.stringify(turns) }) };
    const write = untraced(() => this.#streams.redis.pipeline().hset(key, fields).expire(key, KEEP_SECONDS).exec());
    const replies = await write.catch(() => null);
    const isWritten = replies?.every(([error]) => error === null) ?? false;
    if (isWritten) this.#unwritten.delete(session);
    else {
      if (!this.#unwritten.has(session))
        this.#log.debug('a session is not stored yet', { session, error: replies?.find(([error]) => error)?.[0] });
      this.#owe(session, record);
    }
  }

  /** With whatever was said since: the newest word is the one to be written. */
  #owe(session: string, record: SessionRecord): void {
    this.#unwritten.set(session, { ...record, ...this.#unwritten.peek(session), ...this.#memory.peek(session) });
  }

  #key(session: string): string {
    return this.#streams.key(`session:${session}`);
  }
}
