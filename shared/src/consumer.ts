import { setTimeout as delay } from 'node:timers/promises';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import type { Redis } from 'ioredis';
import { claimPending, type Entry } from './claim.ts';
import { joinGroup, leaveGroup, type Start } from './consumer-group.ts';
import { InFlight } from './in-flight.ts';
import type { Logger } from './log.ts';
import { reasonOf } from './redaction.ts';
import type { Streams } from './streams.ts';
import { suppressTracing } from './telemetry.ts';

export interface Source {
  key: string;
  /** Where the group starts when it is new. */
  from: Start;
  /** After how long without an end an entry is given to somebody else, milliseconds. */
  claimIdleMs: () => number;
}

export interface ConsumerOptions {
  streams: Streams;
  log: Logger;
  group: string;
  /** The consumer's name in the group; no other process may use it at the same time. */
  consumer: string;
  sources: Source[];
  /** Resolves to whether the entry is settled (false leaves it pending); must not reject. */
  deliver: (entry: Entry, giveUp: AbortSignal) => Promise<boolean>;
  /** Settles pending entries that were trimmed away before anybody did; may reject, and is then asked again. */
  trimmed: (key: string, ids: string[]) => Promise<void>;
}

const IN_FLIGHT = 32;
const BLOCK_MS = 2_000;
const RETRY_MS = 250;
const SWEEP_MS = 10_000;
const UNBLOCK_MS = 1_000;
const FINISH_MS = 3_000;

/**
 * One consumer of a group: reads the new entries of its streams, and takes over those that were given to a consumer
 * that never settled them. About 32 are handled at a time; what is over stays in Redis. Entries of one session may be
 * handled out of order, and more than once.
 */
export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #reader: Redis;
  readonly #inFlight = new InFlight(IN_FLIGHT);
  readonly #stopping = new AbortController();
  readonly #givingUp = new AbortController();
  #loops: Promise<unknown> = Promise.resolve();
  #clientId: number | undefined;
  #looksBack = true;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#reader = options.streams.blocking();
    this.#reader.on('close', () => {
      this.#clientId = undefined;
      // An entry may have been on its way to us when the connection broke: ours, and unknown to us.
      this.#looksBack = true;
    });
  }

  /** Resolves when the groups exist and reading has begun. Waits for Redis as long as it takes, or until `stop`. */
  async start(): Promise<void> {
    // Started in a request's context, the loops would hang their spans on that request for ever.
    await context.with(suppressTracing(ROOT_CONTEXT), async () => {
      await this.#join();
      this.#loops = Promise.all([this.#read(), this.#sweep()]);
    });
  }

  /** Stops reading, finishes what is in flight, and leaves the groups if nothing is left pending. Takes at most 5 s. */
  async stop(): Promise<void> {
    const finish = delay(FINISH_MS, undefined, { ref: false });
    this.#stopping.abort();
    this.#inFlight.close();
    await this.#unblock();
    await Promise.race([this.#inFlight.ended(), finish]);
    this.#givingUp.abort();
    await Promise.race([this.#inFlight.ended(), delay(RETRY_MS, undefined, { ref: false })]);
    if (this.#inFlight.size > 0) this.#log.warn('left unfinished', { pending: this.#inFlight.size });
    // Redis away: the consumer stays in the group, with what it has pending, until somebody claims that.
    await this.#leave().catch((error: unknown) => this.#log.debug('stays in the group', { error }));
    this.#reader.disconnect();
  }

  get #log() {
    return this.#options.log;
  }

  /** @param from where a new group starts, other than the source says */
  async #join(from?: '0'): Promise<void> {
    const { streams, group, consumer, sources } = this.#options;
    for (const source of sources) {
      while (!this.#stopping.signal.aborted) {
        try {
          await joinGroup(streams.redis, { key: source.key, group, consumer }, from ?? source.from);
          break;
        } catch (error) {
          if (streams.connected) this.#log.warn('no consumer group yet', { stream: source.key, group, error });
          await this.#pause(RETRY_MS);
        }
      }
    }
  }

  async #read(): Promise<void> {
    const { group, consumer, sources } = this.#options;
    const keys = sources.map(({ key }) => key);
    const positions = keys.map(() => '>');
    while (!this.#stopping.signal.aborted) {
      try {
        this.#clientId ??= Number(await this.#reader.client('ID'));
        if (this.#looksBack) await this.#claimOwn();
        const room = await this.#inFlight.room();
        if (room === 0) return;
        // Redis counts for each stream by itself.
        const count = Math.ceil(room / keys.length);
        const reply = await this.#reader.xreadgroup(
          ...(['GROUP', group, consumer, 'COUNT', count, 'BLOCK', BLOCK_MS, 'STREAMS'] as const),
          ...keys,
          ...positions,
        );
        for (const [key, entries] of reply ?? [])
          for (const [id, fields] of entries) this.#dispatch({ key, id, fields: fields ?? [], deliveries: 1 });
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        // The streams are gone: FLUSHALL, or a Redis that came back empty. Whatever is in them now is unread.
        if (/^(NOGROUP|UNBLOCKED)/.test(reasonOf(error))) await this.#join('0');
        else {
          if (this.#options.streams.connected) this.#log.warn('reading failed', { group, error });
          await this.#pause(RETRY_MS);
        }
      }
    }
  }

  async #sweep(): Promise<void> {
    const { sources, streams } = this.#options;
    for (;;) {
      const shortest = Math.min(...sources.map(({ claimIdleMs }) => claimIdleMs()));
      // Spread, so that replicas which started together do not ask together.
      await this.#pause(Math.min(SWEEP_MS, shortest / 2) * (0.9 + 0.2 * Math.random()));
      if (this.#stopping.signal.aborted) return;
      for (const { key, claimIdleMs } of sources) {
        await this.#claim(key, claimIdleMs(), false).catch((error: unknown) => {
          // The next sweep tries again, and a missing group is the reading loop's to make.
          if (streams.connected) this.#log.debug('claiming failed', { stream: key, error });
        });
      }
    }
  }

  async #claimOwn(): Promise<void> {
    for (const { key } of this.#options.sources) await this.#claim(key, 0, true);
    this.#looksBack = false;
  }

  async #claim(key: string, idleMs: number, own: boolean): Promise<void> {
    const { streams, group, consumer, trimmed } = this.#options;
    const except = (id: string) => this.#inFlight.isRunning(key, id) || (own && this.#inFlight.isWaiting(key, id));
    const room = () => this.#inFlight.room();
    for await (const found of claimPending(streams.redis, { key, group, consumer, idleMs, own, except, room })) {
      if ('id' in found) this.#dispatch(found);
      else await trimmed(key, found.trimmed);
    }
  }

  #dispatch(entry: Entry): void {
    // The sweep and the look back may both have claimed it.
    if (this.#inFlight.isRunning(entry.key, entry.id)) return;
    this.#inFlight.run(entry, (given) => this.#options.deliver(given, this.#givingUp.signal));
  }

  /** Ends the blocked read at once. Asked repeatedly: the read may reach Redis after the first asking. */
  async #unblock(): Promise<void> {
    let reading = true;
    const ended = this.#loops.then(() => {
      reading = false;
    });
    const deadline = performance.now() + UNBLOCK_MS;
    while (reading && performance.now() < deadline) {
      // Redis away: then the connection is cut below.
      if (this.#clientId) await this.#options.streams.redis.client('UNBLOCK', this.#clientId).catch(() => {});
      await Promise.race([ended, delay(20)]);
    }
    if (!reading) return;
    this.#reader.disconnect();
    // A read that waits for a reconnection is forgotten by ioredis: it neither resolves nor rejects any more.
    await Promise.race([ended, delay(RETRY_MS)]);
  }

  async #leave(): Promise<void> {
    const { streams, group, consumer, sources } = this.#options;
    for (const { key } of sources) await leaveGroup(streams.redis, { key, group, consumer });
  }

  /** Resolves early when stopping. */
  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }
}
