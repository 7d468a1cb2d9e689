import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '@loom/shared/log.ts';
import { RewriterDeclaration } from '@loom/shared/rewriter.ts';
import type { Streams } from '@loom/shared/streams.ts';

const REFRESH_MS = 1_000;
const FIRST_READ_MS = 1_000;
/** A Redis that came back empty knows nobody until the rewriters have announced themselves again, every 3 s. */
const EMPTY_FOR_MS = 10_000;

/**
 * The rewriters that announced themselves: declarations in the hash `<prefix>:rewriters`, liveness in the key
 * `<prefix>:rewriter:<name>`. Held in memory and refreshed once a second, so no request waits for it; while Redis is away
 * the last table stands.
 */
export class RewriterRegistry {
  readonly #streams: Streams;
  readonly #log: Logger;
  #declarations: RewriterDeclaration[] = [];
  #live = new Set<string>();
  #unreadable = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #emptySinceMs: number | undefined;

  constructor(streams: Streams, log: Logger) {
    this.#streams = streams;
    this.#log = log;
  }

  /** All that ever announced themselves, in the order in which their edits apply. */
  get declarations(): RewriterDeclaration[] {
    return this.#declarations;
  }

  isLive(name: string): boolean {
    return this.#live.has(name);
  }

  /** Reads the table once, if Redis is there within a second, and keeps it fresh from then on. */
  async start(): Promise<void> {
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    this.#streams.onReady(resolve);
    await Promise.race([ready, pause(FIRST_READ_MS, undefined, { ref: false })]);
    await this.#refresh();
    this.#timer = setInterval(() => void this.#refresh(), REFRESH_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #refresh(): Promise<void> {
    try {
      const table = await this.#streams.redis.hgetall(this.#streams.key('rewriters'));
      if (this.#mayBeForgotten(table)) {
        this.#live = new Set();
        return;
      }
      const declarations = Object.entries(table).flatMap(([name, json]) => this.#parse(name, json));
      const names = declarations.map(({ name }) => name);
      const keys = names.map((name) => this.#streams.key(`rewriter:${name}`));
      const beats = keys.length > 0 ? await this.#streams.redis.mget(keys) : [];
      this.#live = new Set(names.filter((_, index) => beats[index] !== null));
      this.#declarations = declarations.sort((a, b) => a.order - b.order || (a.name < b.name ? -1 : 1));
    } catch (error) {
      // Redis is away: who was alive a moment ago is asked, and the question fails at once if they cannot be reached.
      this.#log.debug('the table of rewriters was not refreshed', { error });
    }
  }

  /** Whether the table is empty although somebody stood in it a moment ago: then whoever is waited for still is. */
  #mayBeForgotten(table: Record<string, string>): boolean {
    const isEmpty = Object.keys(table).length === 0 && this.#declarations.length > 0;
    if (!isEmpty) this.#emptySinceMs = undefined;
    else this.#emptySinceMs ??= performance.now();
    return this.#emptySinceMs !== undefined && performance.now() - this.#emptySinceMs < EMPTY_FOR_MS;
  }

  #parse(name: string, json: string): RewriterDeclaration[] {
    try {
      const declaration = RewriterDeclaration.parse(JSON.parse(json));
      if (declaration.name !== name) throw new TypeError(`expected the name ${name}, got ${declaration.name}`);
      this.#unreadable.delete(name);
      return [declaration];
    } catch (error) {
      if (!this.#unreadable.has(name))
        this.#log.warn('a rewriter announced itself unreadably and is not asked', { rewriter: name, error });
      this.#unreadable.add(name);
      return [];
    }
  }
}
