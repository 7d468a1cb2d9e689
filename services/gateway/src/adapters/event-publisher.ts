import type { Draft } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import { AppendError, isPassing, type Streams } from '@loom/shared/streams.ts';
import type { Context } from '@opentelemetry/api';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import type { Metrics } from './metrics.ts';
import type { Spool } from './spool.ts';
import type { SpooledEntry } from './spool-file.ts';

type SealedEvent = ReturnType<Streams['seal']>;

const RETRY_MS = 2_000;
const GATHER_MS = 10;
/** How long the making of facts keeps the thread to itself, milliseconds: many requests may go out at once. */
const SLICE_MS = 2;

/** A fact, or how to make it: that is then done when it is published. */
type Fact = Draft | (() => Draft);
/** What a fact descends from, or how to find it, as with the fact. The very same one makes facts belong together. */
export type Parent = Context | (() => Context);

interface Waiting {
  fact: Fact;
  parent: Parent;
}

/**
 * Publishes events without ever being in the way: what Redis does not take goes to the spool, and from there to Redis
 * when it is back.
 */
export class EventPublisher {
  readonly #streams: Streams;
  readonly #spool: Spool;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #gateway: string;
  readonly #retry: NodeJS.Timeout;
  /** What Redis has not answered to yet, in order. */
  readonly #inFlight = new Map<SealedEvent, Promise<void>>();
  #waiting: Waiting[] = [];
  #soon: NodeJS.Timeout | undefined;
  readonly #droppable: { sealed: SealedEvent; sent: PromiseWithResolvers<void> }[] = [];

  constructor(options: { streams: Streams; spool: Spool; metrics: Metrics; log: Logger; gateway: string }) {
    this.#streams = options.streams;
    this.#spool = options.spool;
    this.#metrics = options.metrics;
    this.#log = options.log;
    this.#gateway = options.gateway;
    this.#streams.onReady(() => void this.#drain());
    // A Redis that refuses writes (full, read-only) never says "ready" again: ask it now and then.
    this.#retry = setInterval(() => void this.#drain(), RETRY_MS);
    this.#retry.unref();
  }

  /** Calls back whenever Redis is there (again). */
  onReady(callback: () => void): void {
    this.#streams.onReady(callback);
  }

  /**
   * Publishes a fact in 10 ms, together with the others of that time: a request is on its way before it is talked
   * about, and Redis and its readers do not work while the answer is being relayed. Returns at once and never throws.
   */
  publish(fact: Fact, parent: Parent): void {
    this.#waiting.push({ fact, parent });
    this.#soon ??= setTimeout(() => this.#flush(), GATHER_MS);
  }

  /**
   * Publishes a fact, behind those of the same parent that wait, before anything else happens: it is on its way when the
   * call returns. What waits of others may take long to make, and is none of its business.
   */
  publishNow(fact: Draft, parent: Parent): void {
    const isOurs = (waiting: Waiting) => waiting.parent === parent;
    const ours = [...this.#waiting.filter(isOurs), { fact, parent }];
    this.#waiting = this.#waiting.filter((waiting) => !isOurs(waiting));
    this.#append(ours.flatMap((waiting) => this.#make(waiting)));
  }

  /** Adds the envelope to a fact that `send` publishes. */
  seal(draft: Draft, parent: Context): SealedEvent {
    return this.#streams.seal(draft, parent);
  }

  /** Publishes a sealed event now; rejects when Redis does not take it, and then nothing is spooled. */
  async send(sealed: SealedEvent): Promise<void> {
    await this.#streams.append([sealed]);
  }

  /**
   * Publishes what may be lost, within 10 ms and together with the others of that time; rejects when Redis is away, and
   * when it does not take it. Nothing is spooled.
   */
  async publishOrDrop(draft: Draft, parent: Context): Promise<void> {
    if (!this.#streams.connected) throw new Error('expected Redis to be there, got none');
    const sent = Promise.withResolvers<void>();
    if (this.#droppable.length === 0) setTimeout(() => this.#sendDroppable(), GATHER_MS);
    this.#droppable.push({ sealed: this.#streams.seal(draft, parent), sent });
    await sent.promise;
  }

  #sendDroppable(): void {
    const droppable = this.#droppable.splice(0);
    void this.#streams.append(droppable.map(({ sealed }) => sealed)).then(
      () => {
        for (const { sent } of droppable) sent.resolve();
      },
      (error: unknown) => {
        const refused = new Set(error instanceof AppendError ? error.refused : droppable.map(({ sealed }) => sealed));
        for (const { sealed, sent } of droppable)
          if (refused.has(sealed)) sent.reject(error);
          else sent.resolve();
      },
    );
  }

  /** None where it cannot be made: nobody stands behind it any more who would bear the fault. */
  #make({ fact, parent }: Waiting): SealedEvent[] {
    try {
      const draft = typeof fact === 'function' ? fact() : fact;
      return [this.#streams.seal(draft, typeof parent === 'function' ? parent() : parent)];
    } catch (error) {
      this.#metrics.factsFailed.add(1, { part: 'event' });
      this.#log.error('an event could not be made', { error });
      return [];
    }
  }

  #flush(): void {
    this.#soon = undefined;
    const sealed: SealedEvent[] = [];
    for (const beganMs = performance.now(); performance.now() - beganMs < SLICE_MS; ) {
      const waiting = this.#waiting.shift();
      if (!waiting) break;
      sealed.push(...this.#make(waiting));
    }
    this.#append(sealed);
    if (this.#waiting.length > 0) setImmediate(() => this.#flush());
  }

  #append(sealed: SealedEvent[]): void {
    if (sealed.length === 0) return;
    if (!this.#streams.connected || !this.#spool.isEmpty) {
      this.#spoolInFlight();
      for (const event of sealed) {
        // Readers descend from it, whenever they get to read.
        event.span.end();
        this.spool(event);
      }
      return;
    }
    const sent = this.#streams.append(sealed).then(
      () => {
        for (const event of sealed) this.#inFlight.delete(event);
      },
      () => {
        for (const event of sealed) if (this.#inFlight.delete(event)) this.spool(event);
      },
    );
    for (const event of sealed) this.#inFlight.set(event, sent);
  }

  /**
   * What goes to the spool takes along whatever is under way, or would overtake it. What Redis takes all the same comes
   * twice, under the same id.
   */
  #spoolInFlight(): void {
    for (const sealed of this.#inFlight.keys()) this.spool(sealed);
    this.#inFlight.clear();
  }

  /** Publishes a sealed event that Redis did not take as soon as it takes events. */
  spool(sealed: SealedEvent): void {
    const { key, fields, keep } = sealed;
    const droppedBefore = this.#spool.dropped;
    this.#spool.add({ key, fields, keep });
    this.#metrics.spooled.add(1);
    this.#metrics.spoolDropped.add(this.#spool.dropped - droppedBefore);
  }

  /** Waits until everything that was published is in Redis or in the spool. */
  async close(): Promise<void> {
    clearInterval(this.#retry);
    clearTimeout(this.#soon);
    this.#append(this.#waiting.splice(0).flatMap((waiting) => this.#make(waiting)));
    await Promise.all(this.#inFlight.values());
  }

  /**
   * Writes a batch, all of it or nothing; what Redis will never take (no permission, no stream) is given up one by one,
   * or it would hold up everything behind it for ever.
   */
  async #handOver(entries: SpooledEntry[]): Promise<void> {
    try {
      await this.#streams.append(entries, () => {});
      return;
    } catch (error) {
      if (isPassing(error)) throw error;
    }
    for (const entry of entries) {
      try {
        await this.#streams.append([entry]);
      } catch (error) {
        if (isPassing(error)) throw error;
        this.#spool.dropped++;
        this.#metrics.spoolDropped.add(1);
        this.#log.error('Redis does not take this event and never will: it is dropped', { stream: entry.key, error });
      }
    }
  }

  async #drain(): Promise<void> {
    if (!this.#streams.connected || (this.#spool.isEmpty && this.#spool.dropped === 0)) return;
    const waiting = this.#spool.pending;
    try {
      await this.#spool.drain((entries) => this.#handOver(entries));
    } catch (error) {
      // Redis is away again, or still refuses: the entries stay where they are, the next round tries again.
      this.#log.debug('the spool could not be drained', { error });
      return;
    }
    if (waiting > 0) this.#log.info('events of the outage are published', { entries: waiting });
    const { dropped } = this.#spool;
    if (dropped === 0) return;
    this.#spool.dropped = 0;
    this.#log.error('the spool was full: events were dropped', { dropped });
    this.publish(
      { type: 'spool.full', subject: this.#gateway, data: { gateway: this.#gateway, dropped } },
      ROOT_CONTEXT,
    );
  }
}
