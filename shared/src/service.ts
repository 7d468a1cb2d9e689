import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { keepAnnouncing } from './announcing.ts';
import { observeGroup } from './bus-metrics.ts';
import { Consumer, type Source } from './consumer.ts';
import { peersOf } from './consumer-group.ts';
import { type Counters, Delivery, type Handlers } from './delivery.ts';
import { type EventType, STREAM_OF } from './event.ts';
import { Liveness } from './liveness.ts';
import type { Logger } from './log.ts';
import { RedisClock } from './redis-clock.ts';
import type { RewriterOptions } from './rewriter.ts';
import { exitOnSignals } from './signals.ts';
import type { Streams } from './streams.ts';
import { suppressTracing } from './telemetry.ts';

export interface ServiceOptions {
  /** Also the name of the consumer group: all replicas share it, each event goes to one of them. */
  name: string;
  streams: Streams;
  log: Logger;
  /** Names this process among the replicas. Default `<name>-<hostname>-<pid>`. */
  replica?: string;
  /** Makes the service a rewriter, that is asked about requests. A function is evaluated anew every 3 s. */
  rewriter?: RewriterOptions | (() => RewriterOptions);
  /**
   * The handlers. Each returns the events that follow, which are published together with the acknowledgement, or throws:
   * then the event comes again, five times at most, and at last goes to the dead letters (at once for an
   * InvalidEventError). An event may come more than once and out of order: be idempotent by its `id`. Spans that are
   * started and lines that are logged within a handler belong to the event's trace.
   *
   * Of `request.received` a rewriter is given only what awaits it, in time; if it throws, the answer is the error.
   */
  on: Handlers;
  /** When an entry that nobody ended is given to another replica, milliseconds. Default 30,000; questions sooner. */
  claimIdleMs?: number;
}

export interface Service {
  readonly counters: Readonly<Counters>;
  /** Drains within 5 s: reads no more, finishes and acknowledges what it has, and leaves. May be called again. */
  stop(): Promise<void>;
}

const RETRY_MS = 250;
const CLAIM_IDLE_MS = 30_000;

/**
 * Starts a service: consumes the streams of the types in `on`, and says that it is there. Resolves when it is ready:
 * what is published from then on reaches it. While Redis is away it waits.
 *
 * @example
 * const service = await startService({ name: 'scribe', streams, log, on: { 'response.completed': ({ data }) => write(data) } });
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const service = new RunningService(options);
  await service.start();
  return service;
}

/** Runs a service as the whole of a process, until a signal ends it. See `startService` and `exitOnSignals`. */
export async function runService(options: ServiceOptions): Promise<void> {
  const service = new RunningService(options);
  exitOnSignals(options.log, () => service.stop());
  await service.start();
}

class RunningService implements Service {
  readonly #options: ServiceOptions;
  readonly #delivery: Delivery;
  readonly #liveness: Liveness;
  readonly #consumer: Consumer;
  readonly #clock = new RedisClock();
  readonly #stopping = new AbortController();
  #announcing: Promise<void> = Promise.resolve();
  #unobserve = () => {};
  #stopped: Promise<void> | undefined;

  constructor(options: ServiceOptions) {
    this.#options = options;
    const { name, streams, log, on, rewriter } = options;
    const replica = options.replica ?? `${name}-${hostname()}-${process.pid}`;
    const sources = this.#sources();
    const [first] = sources;
    if (!first) throw new Error(`expected a handler in \`on\` of ${name}, got none`);

    this.#delivery = new Delivery({
      name,
      replica,
      streams,
      log,
      on,
      clock: this.#clock,
      isRewriter: rewriter !== undefined,
    });
    this.#liveness = new Liveness({
      ...{ name, replica, streams, log, says: () => this.counters },
      rewriter: typeof rewriter === 'function' ? rewriter : rewriter && (() => rewriter),
      peers: () => peersOf(streams.redis, { key: first.key, group: name, consumer: replica }),
    });
    this.#consumer = new Consumer({
      ...{ streams, log, sources, group: name, consumer: replica },
      deliver: (entry, giveUp) => this.#delivery.deliver(entry, giveUp),
      trimmed: (stream, ids) => this.#delivery.settleTrimmed(stream, ids),
    });
  }

  get counters(): Readonly<Counters> {
    return this.#delivery.counters;
  }

  async start(): Promise<void> {
    const { log, name, streams } = this.#options;
    // Polling is no part of any trace.
    await context.with(suppressTracing(ROOT_CONTEXT), async () => {
      await this.#untilTaken(() => this.#clock.read(streams.redis));
      await this.#consumer.start();
      // Not before the groups exist: what a gateway asks of us from now on has to be readable.
      await this.#untilTaken(() => this.#liveness.announce());
      if (this.#stopping.signal.aborted) return;
      const keys = this.#sources().map(({ key }) => key);
      this.#unobserve = observeGroup(streams, log, keys, name);
      this.#announcing = keepAnnouncing({ streams, log, stopping: this.#stopping.signal }, async () => {
        await this.#liveness.announce();
        await this.#clock.read(streams.redis);
      });
      log.info('started', { rewriter: this.#options.rewriter ? name : undefined, group: name });
    });
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#drain();
    return this.#stopped;
  }

  async #drain(): Promise<void> {
    const { log } = this.#options;
    this.#stopping.abort();
    this.#unobserve();
    await this.#announcing;
    // Redis away: the announcement lapses by itself.
    const withdrawn = this.#liveness.withdraw().catch((error: unknown) => log.debug('not withdrawn', { error }));
    await Promise.all([withdrawn, this.#consumer.stop()]);
    log.info('stopped', { ...this.counters });
  }

  /** Tries until Redis took it, or until `stop`. */
  async #untilTaken(action: () => Promise<void>): Promise<void> {
    const { streams, log } = this.#options;
    while (!this.#stopping.signal.aborted) {
      try {
        return await action();
      } catch (error) {
        if (streams.connected) log.warn('not started yet', { error });
        await this.#pause(RETRY_MS);
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }

  #sources(): Source[] {
    const { on, streams, rewriter, claimIdleMs } = this.#options;
    const names = new Set(Object.keys(on).map((type) => STREAM_OF[type as EventType]));
    return [...names].map((name) => ({
      key: streams.key(name),
      // A question from before we were there is past its deadline; facts are wanted from the first that is left.
      from: rewriter && name === 'requests' ? '$' : '0',
      claimIdleMs: () => claimIdleMs ?? (name === 'requests' ? this.#questionIdleMs() : CLAIM_IDLE_MS),
    }));
  }

  /** A question must come to another replica while its request still waits. */
  #questionIdleMs(): number {
    const { holdMs } = this.#liveness;
    return holdMs === undefined ? CLAIM_IDLE_MS : Math.max(1_000, holdMs / 4);
  }
}
