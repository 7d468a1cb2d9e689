import type { Logger, Streams } from '@loom/shared';
import { LRUCache } from 'lru-cache';
import type { BoundedReads } from './bounded-reads.ts';

const KEEP_SECONDS = 30 * 24 * 3600;
/** A session that Redis does not know may become known by way of another gateway. */
const ABSENT_FOR_MS = 10_000;

/** What is remembered of a session, because not every request says it. */
export interface SessionRecord {
  profile?: string;
  /** Of the newest turn: requests without a block of their own (subagents, compactions) belong to its trace. */
  traceparent?: string;
}

/** Remembers sessions: in memory, and in the hash `<prefix>:session:<id>` for restarts and other gateways. */
export class SessionRecords {
  readonly #memory = new LRUCache<string, SessionRecord>({ max: 10_000 });
  readonly #streams: Streams;
  readonly #reads: BoundedReads;
  readonly #log: Logger;

  constructor(streams: Streams, reads: BoundedReads, log: Logger) {
    this.#streams = streams;
    this.#reads = reads;
    this.#log = log;
  }

  /** From memory, else from Redis within 50 ms; empty when neither knows. */
  async find(session: string): Promise<SessionRecord> {
    const known = this.#memory.get(session);
    if (known) return known;
    const replies = await this.#reads.read((pipeline) => pipeline.hgetall(this.#key(session)));
    if (!replies) return {};
    const { profile, traceparent } = (replies[0] ?? {}) as Record<string, string>;
    const record = { ...(profile && { profile }), ...(traceparent && { traceparent }) };
    this.#memory.set(session, record, profile ? {} : { ttl: ABSENT_FOR_MS });
    return record;
  }

  /** Takes down what a request said; what it did not say stays. */
  remember(session: string, said: SessionRecord): void {
    const known = this.#memory.get(session);
    const news = Object.entries(said).filter(([name, value]) => known?.[name as keyof SessionRecord] !== value);
    if (news.length === 0) return;
    this.#memory.set(session, { ...known, ...said });
    const key = this.#key(session);
    const write = this.#streams.redis.pipeline().hset(key, Object.fromEntries(news)).expire(key, KEEP_SECONDS).exec();
    write.catch((error: unknown) => {
      // Memory serves; a while later the next request that says it writes it again.
      this.#memory.set(session, { ...known, ...said }, { ttl: ABSENT_FOR_MS });
      this.#log.debug('a session was not stored', { session, error });
    });
  }

  #key(session: string): string {
    return this.#streams.key(`session:${session}`);
  }
}
