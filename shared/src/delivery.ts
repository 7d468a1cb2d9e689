import { setTimeout as delay } from 'node:timers/promises';
import { type Context, context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { Acks } from './acks.ts';
import { countBuried, countConsumed, timeProcessing } from './bus-metrics.ts';
import type { Entry } from './claim.ts';
import { deadLetter } from './dead-letter.ts';
import {
  type Draft,
  decodeEvent,
  type EventType,
  InvalidEventError,
  isEventType,
  type LoomEvent,
  UnknownEventTypeError,
} from './event.ts';
import type { Logger } from './log.ts';
import { failSpan, startProcessSpan } from './messaging-span.ts';
import { editsProposed, signProposal } from './proposal.ts';
import { reasonOf } from './redaction.ts';
import type { RedisClock } from './redis-clock.ts';
import { AppendError, isPassing, type SealedEntry, type Streams } from './streams.ts';
import { contextOf, untraced } from './telemetry.ts';

/** What a service does about each type of event: it returns what is to be published. See `startService`. */
export type Handlers = {
  [Type in EventType]?: (
    event: LoomEvent<Type>,
    delivery: { deliveries: number },
  ) => readonly Draft[] | Promise<readonly Draft[]>;
};

/** What became of the entries that this process was given. */
export interface Counters {
  handled: number;
  /** Of a type, or awaiting others, that this service has nothing to do with. */
  ignored: number;
  /** Requests that were past their deadline. */
  skippedStale: number;
  /** Attempts of a handler that threw. */
  failed: number;
  deadLettered: number;
  /** Pending entries that the stream was trimmed past. */
  trimmed: number;
}

export interface DeliveryOptions {
  name: string;
  replica: string;
  isRewriter: boolean;
  streams: Streams;
  log: Logger;
  clock: RedisClock;
  on: Handlers;
}

const MAX_DELIVERIES = 5;
const RETRY_MS = 250;

/** Brings one entry to its end: handled and acknowledged, left for another try, or a dead letter. */
export class Delivery {
  readonly counters: Counters = { handled: 0, ignored: 0, skippedStale: 0, failed: 0, deadLettered: 0, trimmed: 0 };
  readonly #options: DeliveryOptions;
  readonly #acks: Acks;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#acks = new Acks(options.streams, options.name);
  }

  /** Resolves to whether the entry is settled; false leaves it pending. Never rejects. */
  async deliver(entry: Entry, giveUp: AbortSignal): Promise<boolean> {
    countConsumed(entry.key, this.#options.name);
    try {
      await this.#decide(entry, giveUp);
      return true;
    } catch (error) {
      const { key: stream, id, deliveries } = entry;
      this.#options.log.warn('left pending', { stream, entry: id, deliveries, error });
      return false;
    }
  }

  /** Pending entries, oldest first, that are gone from their stream: nobody will ever handle them, which is told. */
  async settleTrimmed(key: string, ids: string[]): Promise<void> {
    const { streams, name: group, log } = this.#options;
    const [from = '', to = from] = [ids[0], ids.at(-1)];
    const stream = key.slice(streams.key('').length);
    const data = { stream, group, state: 'pending', from, to, lost: ids.length } as const;
    const gap = { type: 'stream.gap', id: `${stream}:${group}:${from}:${to}`, subject: group, data } as const;
    await streams.append([streams.seal(gap, ROOT_CONTEXT)], (multi) => multi.xack(key, group, ...ids));
    this.counters.trimmed += ids.length;
    log.error('trimmed before they were handled', { stream: key, entries: ids });
  }

  /** Resolves when the entry is settled. */
  async #decide(entry: Entry, giveUp: AbortSignal): Promise<void> {
    const { name, on, clock } = this.#options;
    const type = typeOf(entry);
    // Not decoded: what is wrong with it, if anything, is for those to find who handle it.
    if (isEventType(type) && !on[type]) return this.#drop(entry, 'ignored', giveUp);
    // Whoever had it last died of it, each time.
    if (entry.deliveries > MAX_DELIVERIES)
      return this.#bury(entry, `${MAX_DELIVERIES} deliveries came to no end`, giveUp);

    // Most requests await nobody: those need not be decoded by everybody.
    if (this.#options.isRewriter && type === 'request.received' && !mayAwait(entry, name)) {
      return this.#drop(entry, 'ignored', giveUp);
    }

    let event: LoomEvent;
    try {
      event = decodeEvent(entry.fields);
    } catch (error) {
      if (error instanceof UnknownEventTypeError) return this.#drop(entry, 'ignored', giveUp);
      return this.#bury(entry, reasonOf(error), giveUp);
    }
    if (this.#isQuestion(event)) {
      const asked = event.data.awaited.find(({ rewriter }) => rewriter === name);
      if (!asked) return this.#drop(entry, 'ignored', giveUp);
      if (clock.ageOf(entry.id) > asked.holdMs) return this.#drop(entry, 'skippedStale', giveUp);
    }
    return this.#handle(event, entry, giveUp);
  }

  async #handle(event: LoomEvent, entry: Entry, giveUp: AbortSignal): Promise<void> {
    const parent = contextOf(event.traceparent, event.tracestate);
    const span = startProcessSpan(event, entry, this.#options.name, this.#options.replica, parent);
    const within = trace.setSpan(parent, span);
    const processed = timeProcessing(entry.key, this.#options.name);
    await context.with(within, async () => {
      try {
        const handler = this.#options.on[event.type] as Handler;
        const drafts = await handler(event, { deliveries: entry.deliveries });
        await this.#settle(entry, this.#seal(drafts, event, within), giveUp);
        this.counters.handled += 1;
        processed();
      } catch (error) {
        failSpan(span, error);
        processed(error);
        if (giveUp.aborted) throw error;
        this.counters.failed += 1;
        await this.#recover(error, event, entry, within, giveUp);
      } finally {
        span.end();
      }
    });
  }

  /** A question is answered at once, so that nobody waits for us; another event comes again, five times at most. */
  async #recover(error: unknown, event: LoomEvent, entry: Entry, within: Context, giveUp: AbortSignal): Promise<void> {
    const reason = reasonOf(error);
    if (this.#isQuestion(event) && event.data.body.sha256) {
      this.#options.log.error('could not answer', { requestId: event.data.requestId, entry: entry.id, error });
      return this.#settle(entry, this.#seal([editsProposed(event.data, [], reason)], event, within), giveUp);
    }
    // What Redis will never take: the transaction may have acknowledged the entry all the same, so it comes no more.
    const isRefused = error instanceof AppendError;
    const isHopeless = isRefused || error instanceof InvalidEventError || entry.deliveries >= MAX_DELIVERIES;
    if (isHopeless) return this.#bury(entry, reason, giveUp);
    throw error;
  }

  async #drop(entry: Entry, counter: 'ignored' | 'skippedStale', giveUp: AbortSignal): Promise<void> {
    await untilTaken(() => this.#acks.add(entry.key, entry.id), giveUp);
    this.counters[counter] += 1;
  }

  async #bury(entry: Entry, reason: string, giveUp: AbortSignal): Promise<void> {
    const { streams, log, name } = this.#options;
    const letter = { ...entry, deliveries: Math.min(entry.deliveries, MAX_DELIVERIES) };
    await this.#settle(entry, [deadLetter(streams.key('dead-letters'), letter, name, reason)], giveUp);
    this.counters.deadLettered += 1;
    countBuried(entry.key, name);
    log.error('dead letter', { stream: entry.key, entry: entry.id, deliveries: letter.deliveries, reason });
  }

  /**
   * Publishes and acknowledges, both or neither. While Redis is away it tries again, rather than have the handler run
   * again: what it did is done.
   */
  async #settle(entry: Entry, sealed: readonly SealedEntry[], giveUp: AbortSignal): Promise<void> {
    const { streams, name } = this.#options;
    let entries = sealed;
    await untilTaken(async () => {
      const attempt = entries;
      // The first attempt ends the spans.
      entries = entries.map(({ span: _, ...unspanned }) => unspanned);
      if (attempt.length === 0) await untraced(() => streams.redis.xack(entry.key, name, entry.id));
      else await streams.append(attempt, (multi) => multi.xack(entry.key, name, entry.id));
    }, giveUp);
  }

  #seal(drafts: readonly Draft[], event: LoomEvent, within: Context): SealedEntry[] {
    const { streams, name: rewriter, replica } = this.#options;
    return drafts.map((draft) => streams.seal(signProposal(draft, event, { rewriter, replica }), within));
  }

  #isQuestion(event: LoomEvent): event is LoomEvent<'request.received'> {
    return this.#options.isRewriter && event.type === 'request.received';
  }
}

/** Tries until Redis takes it; rejects when it never will, or when it is time to give up. */
async function untilTaken(attempt: () => Promise<unknown>, giveUp: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (giveUp.aborted || !isPassing(error)) throw error;
      await delay(RETRY_MS, undefined, { signal: giveUp }).catch(() => {});
    }
  }
}

type Handler = (event: LoomEvent, delivery: { deliveries: number }) => readonly Draft[] | Promise<readonly Draft[]>;

function typeOf(entry: Entry): string {
  return fieldOf(entry, 'type') ?? '';
}

function fieldOf({ fields }: Entry, name: string): string | undefined {
  for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return fields[at + 1];
  return undefined;
}

/** Whether the data holds the name at all, or may be damaged: then it is decoded, and found out. */
function mayAwait(entry: Entry, rewriter: string): boolean {
  const data = fieldOf(entry, 'data');
  return data === undefined || !data.endsWith('}') || data.includes(`"${rewriter}"`);
}
