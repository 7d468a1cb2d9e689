import type { Logger } from './log.ts';
import { ownMemoryBytes } from './own-memory.ts';
import { RewriterDeclaration, type RewriterOptions } from './rewriter.ts';
import type { Streams } from './streams.ts';

export interface LivenessOptions {
  streams: Streams;
  log: Logger;
  name: string;
  replica: string;
  /** What its key holds besides the time of its start and its memory; evaluated for each announcement. */
  says: () => object;
  /** Evaluated for each announcement, so that what a rewriter asks for may change while it runs. */
  rewriter?: (() => RewriterOptions) | undefined;
  /** The names of a rewriter's other replicas, alive or not. */
  peers?: () => Promise<string[]>;
}

const LAPSE_S = 10;

/**
 * Says that a service is there: `<prefix>:service:<name>:<replica>` holds what it says of itself, and for a rewriter
 * `<prefix>:rewriters` its declaration and `<prefix>:rewriter:<name>` the replica that spoke last. All but the
 * declaration lapse after 10 s.
 */
export class Liveness {
  readonly #options: LivenessOptions;
  readonly #since = new Date().toISOString();
  #declaration: RewriterDeclaration | undefined;

  constructor(options: LivenessOptions) {
    this.#options = options;
    // At once, so that a declaration which no gateway would accept stops the start.
    this.#declare();
  }

  /** How long a request waits for this rewriter at most; undefined for a service that is none. */
  get holdMs(): number | undefined {
    return this.#declaration?.holdMs;
  }

  /** Announces once; rejects when Redis did not take it. */
  async announce(): Promise<void> {
    const { streams, name, replica, says } = this.#options;
    this.#declare();
    const batch = streams.redis.multi();
    const said = { since: this.#since, memoryBytes: ownMemoryBytes(), ...says() };
    batch.set(this.#serviceKey(replica), JSON.stringify(said), 'EX', LAPSE_S);
    if (this.#declaration) {
      batch.hset(streams.key('rewriters'), name, JSON.stringify(this.#declaration));
      batch.set(this.#rewriterKey, replica, 'EX', LAPSE_S);
    }
    const replies = await batch.exec();
    const failure = replies?.find(([error]) => error)?.[0];
    if (failure) throw failure;
  }

  /** Takes the announcement back, but for the declaration, by which a request is held for a rewriter that comes back. */
  async withdraw(): Promise<void> {
    const { streams, replica, peers } = this.#options;
    await streams.redis.del(this.#serviceKey(replica));
    if (!this.#declaration) return;
    // Peers share the key, and whoever renewed it last is named in it: without it they would seem absent for 3 s.
    const others = ((await peers?.()) ?? []).map((peer) => this.#serviceKey(peer));
    if (others.length > 0 && (await streams.redis.exists(...others)) > 0) return;
    await streams.redis.eval(DELETE_IF_EQUAL, 1, this.#rewriterKey, replica);
  }

  #serviceKey(replica: string): string {
    return this.#options.streams.key(`service:${this.#options.name}:${replica}`);
  }

  get #rewriterKey(): string {
    return this.#options.streams.key(`rewriter:${this.#options.name}`);
  }

  /** Takes the declaration as it is now; keeps the last good one when the new one is none. */
  #declare(): void {
    const { rewriter, name, log } = this.#options;
    if (!rewriter) return;
    try {
      this.#declaration = RewriterDeclaration.parse({ ...rewriter(), name });
    } catch (error) {
      if (!this.#declaration) throw error;
      log.error('the declaration is wrong, the last one stays', { rewriter: name, error });
    }
  }
}

const DELETE_IF_EQUAL = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";
