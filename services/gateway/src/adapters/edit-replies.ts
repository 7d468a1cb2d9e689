import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { decodeEvent } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import type { Redis } from 'ioredis';
import type { PendingAnswers } from '../core/pending-answers.ts';
import type { Metrics } from './metrics.ts';

/** A longer answer breaks the contract by far; it is thrown away unread. */
const MAX_ANSWER_CHARACTERS = 1_048_576;
const EXPIRE_SECONDS = 3_600;
const RENEW_MS = 600_000;

/** Reads this gateway's own reply stream and hands each answer to whoever waits for it. */
export class EditReplies {
  readonly stream: string;
  readonly #streams: Streams;
  readonly #pending: PendingAnswers;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #connection: Redis;
  readonly #renew: NodeJS.Timeout;
  #lastId = '0-0';
  #isOpen = true;

  constructor(options: { streams: Streams; gateway: string; pending: PendingAnswers; metrics: Metrics; log: Logger }) {
    this.#streams = options.streams;
    this.#pending = options.pending;
    this.#metrics = options.metrics;
    this.#log = options.log;
    this.stream = this.#streams.key(`edits:${options.gateway}`);
    this.#connection = this.#streams.blocking();
    this.#renew = setInterval(() => this.#expire(), RENEW_MS);
    this.#renew.unref();
    // From the root: a poll belongs to no request's trace.
    void context.with(ROOT_CONTEXT, () => this.#readOn());
  }

  close(): void {
    this.#isOpen = false;
    clearInterval(this.#renew);
    this.#connection.disconnect();
  }

  async #readOn(): Promise<void> {
    let isFirst = true;
    while (this.#isOpen) {
      try {
        const reply = await this.#connection.xread('COUNT', 64, 'BLOCK', 5_000, 'STREAMS', this.stream, this.#lastId);
        for (const [, entries] of reply ?? []) {
          for (const [id, fields] of entries) {
            this.#take(id, fields);
            // Answers may be long, and many: requests are served in between.
            await nextTurn();
          }
        }
        if (reply && isFirst) this.#expire();
        if (reply) isFirst = false;
      } catch (error) {
        if (!this.#isOpen) return;
        // The last id is kept, so nothing is missed; a refusal (no permission) must not spin.
        this.#log.warn('the reply stream could not be read', { stream: this.stream, error });
        await pause(500);
      }
    }
  }

  #take(id: string, fields: string[]): void {
    this.#lastId = id;
    if (fields.reduce((sum, field) => sum + field.length, 0) > MAX_ANSWER_CHARACTERS) {
      this.#drop(id, 'oversize');
      // Its memory is needed for events.
      this.#streams.redis.xdel(this.stream, id).catch(() => {
        // Trimming will get it.
      });
      return;
    }
    try {
      const event = decodeEvent(fields);
      if (event.type !== 'edits.proposed') this.#drop(id, 'unexpected');
      else if (!this.#pending.answer(event.data)) this.#drop(id, 'late');
    } catch (error) {
      this.#drop(id, 'invalid', error);
    }
  }

  #drop(entry: string, reason: string, error?: unknown): void {
    this.#metrics.repliesDropped.add(1, { reason });
    this.#log.info('an answer of a rewriter was dropped', { stream: this.stream, entry, reason, error });
  }

  #expire(): void {
    this.#streams.redis.expire(this.stream, EXPIRE_SECONDS).catch(() => {
      // Redis is away: the next renewal does it, and the stream is small.
    });
  }
}
