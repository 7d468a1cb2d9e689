import type { Context, Span } from '@opentelemetry/api';
import type { ChainableCommander, Redis } from 'ioredis';
import { countSent } from './bus-metrics.ts';
import { connectRedis } from './connection.ts';
import { capOf, type Draft, encodeEvent, type LoomEvent, STREAM_OF } from './event.ts';
import { eventId } from './event-id.ts';
import type { Logger } from './log.ts';
import { failSpan, startSendSpan } from './messaging-span.ts';
import { errorTypeOf, reasonOf } from './redaction.ts';
import { ATTRIBUTE, traceparentOf, tracestateOf, untraced } from './telemetry.ts';

export interface StreamsOptions {
  /** redis://, rediss:// or unix:// */
  url: string;
  /** Goes before every key, with a colon: `loom`, or `{loom}` on a cluster. */
  prefix: string;
  /** The CloudEvents source of what is published here, such as `/loom/gateway/<id>`. */
  source: string;
  log: Logger;
}

/** An entry to append. It can be kept and appended later: its id stays, so a reader drops the repetition. */
export interface SealedEntry {
  key: string;
  fields: string[];
  /** `MAXLEN ~` of the stream, entries. */
  keep: number;
  /** The producer span, ended by the first `append`. */
  span?: Span;
}

export interface SealedEvent extends SealedEntry {
  event: LoomEvent;
  span: Span;
}

/** Redis did not take all entries. Some of `refused` may still arrive, when Redis was frozen and not away. */
export class AppendError extends Error {
  override name = 'AppendError';
  readonly refused: readonly SealedEntry[];

  constructor(refused: readonly SealedEntry[], cause: unknown) {
    super(`expected Redis to take ${refused.length} entries, got ${reasonOf(cause)}`, { cause });
    this.refused = refused;
  }
}

/**
 * The bus: where events are appended, and the connections to the Redis that holds them.
 *
 * @example
 * const streams = new Streams({ url: config.REDIS_URL, prefix: 'loom', source: '/loom/gateway/g1', log });
 * await streams.publish({ type: 'request.received', subject: session, data }, context.active());
 */
export class Streams {
  /** For commands that answer at once. It fails fast: no queue while Redis is away, 1 s for each answer. */
  readonly redis: Redis;
  readonly #options: StreamsOptions;
  readonly #connections = new Set<Redis>();
  #away = false;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.redis = this.#connect('fail-fast');
  }

  /** The Redis key of a stream or record. */
  key(name: string): string {
    return `${this.#options.prefix}:${name}`;
  }

  /** The CloudEvents source of what is published here. */
  get source(): string {
    return this.#options.source;
  }

  /** Whether commands are taken; what is taken may still time out. */
  get connected(): boolean {
    return this.redis.status === 'ready';
  }

  /** Calls back whenever the command connection comes up, and at once when it is up; until the result is called. */
  onReady(callback: () => void): () => void {
    this.redis.on('ready', callback);
    if (this.connected) callback();
    return () => this.redis.off('ready', callback);
  }

  /**
   * Opens a connection for one loop of blocking reads: a blocked read holds back whatever is sent after it, so it must
   * be shared with nothing. It waits as long as Redis is away, and repeats the read afterwards.
   */
  blocking(): Redis {
    return this.#connect('patient');
  }

  /** Makes a draft an event: gives it its envelope and starts its producer span as a child of `parent`. */
  seal(draft: Draft, parent: Context): SealedEvent {
    const stream = this.key(STREAM_OF[draft.type]);
    const key = draft.stream ?? stream;
    const id = draft.id ?? eventId();
    const { type, subject } = draft;
    const span = startSendSpan({ stream, key, id, type, subject }, parent);
    const event = {
      type,
      id,
      source: this.#options.source,
      subject,
      time: new Date().toISOString(),
      traceparent: traceparentOf(span),
      tracestate: tracestateOf(span),
      data: draft.data,
    } as LoomEvent;
    return { key, fields: encodeEvent(event), keep: capOf(STREAM_OF[draft.type]), event, span };
  }

  /**
   * Appends entries in one pipeline, which is on its way when the call returns, and ends their spans. Rejects with
   * AppendError when an entry was refused (Redis away, frozen, out of memory, read only); what then is the caller's to decide.
   *
   * @param together adds commands that must happen with the entries or not at all: all go into one MULTI
   */
  async append(sealed: readonly SealedEntry[], together?: (multi: ChainableCommander) => unknown): Promise<void> {
    const batch = together ? this.redis.multi() : this.redis.pipeline();
    for (const { key, keep, fields } of sealed) batch.xadd(key, 'MAXLEN', '~', keep, '*', ...fields);
    together?.(batch);

    // The producer spans say it all; the spans of ioredis would say it twice.
    const reply = untraced(() => batch.exec());
    const results = await reply.catch((error: unknown) => {
      // A transaction that Redis turned down says why in the replies to its commands.
      const cause = (error as { previousErrors?: unknown[] }).previousErrors?.[0] ?? error;
      for (const { span, key } of sealed) {
        endRefused(span, cause);
        countSent(key, cause);
      }
      throw new AppendError(sealed, cause);
    });

    const replies = results ?? [];
    for (const [at, { span, key }] of sealed.entries()) {
      const [error, id] = replies[at] ?? [];
      countSent(key, error ?? undefined);
      if (error) endRefused(span, error);
      else endSent(span, String(id));
    }
    const failure = replies.find(([error]) => error)?.[0];
    if (failure)
      throw new AppendError(
        sealed.filter((_, at) => replies[at]?.[0]),
        failure,
      );
  }

  /** Seals a draft and appends it; rejects as `append` does. */
  publish(draft: Draft, parent: Context): Promise<void> {
    return this.append([this.seal(draft, parent)]);
  }

  /** Closes every connection; commands that are still under way are rejected. */
  close(): void {
    for (const connection of this.#connections) connection.disconnect();
  }

  #connect(patience: 'fail-fast' | 'patient'): Redis {
    const connection = connectRedis(this.#options.url, patience);
    this.#connections.add(connection);
    connection.on('end', () => this.#connections.delete(connection));
    connection.on('ready', () => {
      if (this.#away) this.#options.log.info('Redis is back');
      this.#away = false;
    });
    connection.on('error', (error) => {
      // ioredis tries again for ever; once an outage is enough.
      if (!this.#away) this.#options.log.warn('Redis is away', { error });
      this.#away = true;
    });
    return connection;
  }
}

function endSent(span: Span | undefined, entryId: string): void {
  span?.setAttribute(ATTRIBUTE.messagingMessageId, entryId);
  span?.end();
}

function endRefused(span: Span | undefined, error: unknown): void {
  if (!span) return;
  failSpan(span, error);
  span.end();
}

/** Redis is away, or says that it cannot now; a reply of any other kind would be the same tomorrow. */
export function isPassing(error: unknown): boolean {
  const cause = error instanceof AppendError ? error.cause : error;
  if (errorTypeOf(cause) !== 'ReplyError') return true;
  return /^(OOM|READONLY|LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS)\b/.test(reasonOf(cause));
}
