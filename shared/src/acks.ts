import type { Streams } from './streams.ts';
import { untraced } from './telemetry.ts';

const GATHER_MS = 10;
/** Half of what a consumer has in flight: the other half comes in meanwhile. */
const MAX_GATHERED = 16;

/**
 * Acknowledges what a service has nothing to do with: a moment later and together, because just then another service
 * answers the same question, somebody waits for that, and both may share a core with Redis.
 */
export class Acks {
  readonly #streams: Streams;
  readonly #group: string;
  readonly #gathered = new Map<string, { ids: string[]; acked: PromiseWithResolvers<void> }>();
  #soon: NodeJS.Timeout | undefined;

  constructor(streams: Streams, group: string) {
    this.#streams = streams;
    this.#group = group;
  }

  /** Resolves when Redis has it; rejects as the command does. */
  add(key: string, id: string): Promise<void> {
    let batch = this.#gathered.get(key);
    if (!batch) {
      batch = { ids: [], acked: Promise.withResolvers() };
      this.#gathered.set(key, batch);
    }
    batch.ids.push(id);
    if (batch.ids.length >= MAX_GATHERED) this.#flush();
    else this.#soon ??= setTimeout(() => this.#flush(), GATHER_MS);
    return batch.acked.promise;
  }

  #flush(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    const batches = [...this.#gathered];
    this.#gathered.clear();
    for (const [key, { ids, acked }] of batches) {
      untraced(() => this.#streams.redis.xack(key, this.#group, ...ids)).then(() => acked.resolve(), acked.reject);
    }
  }
}
