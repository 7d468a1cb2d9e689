import { randomUUID } from 'node:crypto';
import { keepAnnouncing } from '@loom/shared/announcing.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import type { EventPublisher } from './event-publisher.ts';

export interface RedisHistoryOptions {
  streams: Streams;
  publisher: Pick<EventPublisher, 'publish'>;
  log: Logger;
  gateway: string;
  /** How often it looks, besides whenever Redis is back, milliseconds. Default 3,000. */
  everyMs?: number;
}

/**
 * Notices that Redis is without what it held: it came back empty, or another one stands in its place. What it alone had
 * is lost then (events that nobody had read, turns under way), which nothing else would show: `redis.emptied` tells of
 * it. Of several gateways each may tell, in one event by its id. No request ever waits for it.
 */
export class RedisHistory {
  readonly #options: RedisHistoryOptions;
  readonly #stopping = new AbortController();
  /** The mark that this Redis had when it was last looked at. */
  #mark: string | undefined;
  #seenAt = new Date();

  constructor(options: RedisHistoryOptions) {
    this.#options = options;
    const { streams, log, everyMs } = options;
    this.#look().catch((error: unknown) => log.debug('not looked at yet', { error }));
    void keepAnnouncing({ streams, log, everyMs, stopping: this.#stopping.signal }, () => this.#look());
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #look(): Promise<void> {
    const { streams } = this.#options;
    const fresh = randomUUID();
    const mark = (await untraced(() => streams.redis.set(streams.key('history'), fresh, 'NX', 'GET'))) ?? fresh;
    if (this.#mark !== undefined && mark !== this.#mark) this.#tell(this.#mark);
    this.#mark = mark;
    this.#seenAt = new Date();
  }

  #tell(lost: string): void {
    const { publisher, log, gateway } = this.#options;
    const data = { gateway, since: this.#seenAt.toISOString() };
    publisher.publish({ type: 'redis.emptied', id: `emptied:${lost}`, subject: gateway, data }, ROOT_CONTEXT);
    log.warn('Redis has lost what it held', data);
  }
}
