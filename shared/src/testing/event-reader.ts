import type { Redis } from 'ioredis';
import { decodeEvent, type EventType, type LoomEvent, STREAM_OF } from '../event.ts';

/**
 * The events that are in Redis. Each is decoded once, however often a test asks until there is what it waits for; they
 * are not to be changed.
 *
 * @example
 * const events = new EventReader(redis);
 * await until(async () => (await events.of('turn.ended')).length === 1);
 */
export class EventReader {
  readonly #client: Redis;
  readonly #prefix: string;
  /** By the key of the stream and the id of the entry. */
  readonly #decoded = new Map<string, LoomEvent>();

  constructor(client: Redis, prefix = 'loom') {
    this.#client = client;
    this.#prefix = prefix;
  }

  /** What is on a stream now, the oldest first. Throws where an entry is no event. */
  async on(stream: string): Promise<LoomEvent[]> {
    const key = `${this.#prefix}:${stream}`;
    const entries = await this.#client.xrange(key, '-', '+');
    return entries.map(([id, fields]) => {
      const name = `${key} ${id}`;
      const event = this.#decoded.get(name) ?? decodeEvent(fields);
      this.#decoded.set(name, event);
      return event;
    });
  }

  /** What is of a type, on its stream or another. */
  async of<Type extends EventType>(type: Type, stream: string = STREAM_OF[type]): Promise<LoomEvent<Type>[]> {
    return (await this.on(stream)).filter((event) => event.type === type) as LoomEvent<Type>[];
  }
}
