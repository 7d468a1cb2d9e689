import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectRedis } from '@loom/shared/connection.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream, type Upstream } from '@loom/shared/testing/upstream.ts';
import { ServiceProcess } from '../../services/gateway/test/e2e/service-process.ts';
import { readPrices } from '../../services/trace-grouper/src/adapters/price-file.ts';
import { Account, Caller } from './caller.ts';
import { Ledger, type Sums } from './ledger.ts';
import { CONVERSATIONS, scriptOf, TURNS } from './script.ts';
import { TcpProxy } from './tcp-proxy.ts';

const STREAMS = ['requests', 'responses', 'captures', 'transcripts', 'turns', 'alerts', 'dead-letters'];
const NAMES = ['gateway', 'compact-rewriter', 'intro-injector', 'trace-grouper', 'transcript-watcher'] as const;
/** Nothing is lost for being late: a turn whose gateway was killed ends when that is known, and this machine is slow. */
const SETTLE_MS = 180_000;
const LOOK_MS = 500;

type Redis = ReturnType<typeof connectRedis>;
export type ServiceName = (typeof NAMES)[number];

/** A Redis that has what it had when it was killed: the kernel keeps what it has written. */
async function startKept(): Promise<RedisServer> {
  const server = await startRedis({ aof: true });
  await server.client().config('SET', 'appendfsync', 'no');
  return server;
}

/** All of Loom as processes of its own, a Redis and an API, with a faulty network in between, and clients at work. */
export class World {
  readonly seed: number;
  /** The one that serves now. */
  redis: RedisServer;
  readonly upstream: Upstream;
  readonly services: Record<ServiceName, ServiceProcess>;
  /** To the gateway, to Redis, to the API: everybody goes by them; the ledger goes to Redis by its own. */
  readonly networks: { clients: TcpProxy; redis: TcpProxy; upstream: TcpProxy; ledger: TcpProxy };
  readonly ledger: Ledger;
  /** By the ledger's way to Redis. */
  readonly client: Redis;
  /** Folder of the gateway's spool. */
  readonly spool: string;
  reference: ReadonlyMap<string, Sums> = new Map();
  readonly #state: string;
  readonly #reader: { client: Redis; isOpen: boolean; last: Map<string, string> };
  readonly #former: RedisServer[] = [];
  #runs = 0;

  private constructor(
    parts: Pick<World, 'seed' | 'redis' | 'upstream' | 'services' | 'networks' | 'ledger'> & { state: string },
  ) {
    this.seed = parts.seed;
    this.redis = parts.redis;
    this.upstream = parts.upstream;
    this.services = parts.services;
    this.networks = parts.networks;
    this.ledger = parts.ledger;
    this.#state = parts.state;
    this.spool = join(parts.state, 'spool');
    this.client = this.#connect();
    this.#reader = { client: this.#connect(), isOpen: true, last: new Map() };
    void this.#read();
  }

  /** Starts everything and waits until all know each other. */
  static async open(seed: number): Promise<World> {
    const [redis, upstream, state] = await Promise.all([
      startKept(),
      startUpstream(scriptOf(seed)),
      mkdtemp(join(tmpdir(), 'loom-faults-')),
    ]);
    await mkdir(join(state, 'claude', 'projects'), { recursive: true });
    const ports = { LOOM_PORT: await freePort(), LOOM_ADMIN_PORT: await freePort() };
    const networks = {
      clients: await TcpProxy.open(ports.LOOM_PORT),
      redis: await TcpProxy.open(redis.port),
      upstream: await TcpProxy.open(Number(new URL(upstream.url).port)),
      ledger: await TcpProxy.open(redis.port),
    };
    const environment = {
      ...{ REDIS_URL: `redis://127.0.0.1:${networks.redis.port}`, LOG_LEVEL: 'info' },
      LOOM_UPSTREAM_URL: `http://127.0.0.1:${networks.upstream.port}`,
      ...{ LOOM_PORT: String(ports.LOOM_PORT), LOOM_ADMIN_PORT: String(ports.LOOM_ADMIN_PORT) },
      ...{ LOOM_SPOOL_DIR: join(state, 'spool'), CLAUDE_DATA_DIR: join(state, 'claude') },
      // Each conversation is a session, and no idle one is let go within the hour.
      LOOM_WATCH_SESSIONS: '10000',
      ...{ LOOM_PROMPTS_DIR: join(import.meta.dirname, '../prompts'), LOOM_HUMAN: 'Sam' },
    };
    const services = Object.fromEntries(
      NAMES.map((name) => [name, new ServiceProcess(name, async () => environment)]),
    ) as Record<ServiceName, ServiceProcess>;
    const ledger = new Ledger(await readPrices());
    const world = new World({ seed, redis, upstream, services, networks, ledger, state });
    try {
      await Promise.all(Object.values(services).map((service) => service.start()));
      await world.ready();
      await world.#refer();
    } catch (error) {
      await world.close();
      throw error;
    }
    return world;
  }

  get names(): readonly ServiceName[] {
    return NAMES;
  }

  /** Waits until every service has said that it is there. */
  async ready(): Promise<void> {
    const isThere = async (name: string) => (await this.client.keys(`loom:service:${name}:*`)).length > 0;
    await until(async () => (await Promise.all(NAMES.map(isThere))).every(Boolean), { withinMs: 60_000 });
  }

  /** Lets clients converse, each its own conversation, until the work is done; then they end their turns. */
  async converse(work: (account: Account, turns: (more: number) => Promise<void>) => Promise<void>): Promise<Account> {
    const account = new Account();
    let isOver = false;
    const callers = this.#callers(account, 4);
    const talking = Promise.all(
      callers.map(async (caller) => {
        while (!isOver) await caller.turn();
      }),
    );
    const turns = async (more: number) => {
      const target = account.turns.length + more;
      await Promise.race([until(() => account.turns.length >= target, { withinMs: 120_000 }), talking]);
    };
    try {
      await turns(2);
      await work(account, turns);
    } finally {
      isOver = true;
      await talking;
    }
    return account;
  }

  /** Each of four clients tells so many turns, one after the other; returns the same clients for more of them. */
  async tell(turns: number, account = new Account(), callers = this.#callers(account, 4)) {
    await Promise.all(
      callers.map(async (caller) => {
        for (let at = 0; at < turns; at++) await caller.turn();
      }),
    );
    return { account, callers };
  }

  /** What is lost of all that these clients saw; waits for it to come, as long as something is missing. */
  async losses(account: Account): Promise<string[]> {
    const look = () => [
      ...Array.from({ length: account.unanswered }, () => 'a request without an answer'),
      ...this.ledger.missingEvents(account),
      ...this.ledger.wrongTurns(account, this.reference),
      ...this.ledger.missingLines(account),
    ];
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const lost = look();
      if (lost.length === 0 || performance.now() > deadline) return lost;
      // All networks are in this process: whoever looks all the time would hold them up.
      await delay(LOOK_MS);
    }
  }

  /** Another Redis takes over, which has nothing of what the first one had. */
  async failOver(): Promise<void> {
    this.#former.push(this.redis);
    this.redis = await startKept();
    for (const network of [this.networks.redis, this.networks.ledger]) network.fail(this.redis.port);
  }

  async close(): Promise<void> {
    this.#reader.isOpen = false;
    await Promise.all(Object.values(this.services).map((service) => service.kill()));
    for (const { client } of [this.#reader, this]) client.disconnect();
    await Promise.all(Object.values(this.networks).map((network) => network.close()));
    await Promise.all([this.upstream, this.redis, ...this.#former].map((each) => each.close()));
    await rm(this.#state, { recursive: true, force: true });
  }

  /** Runs every conversation once, undisturbed: what each turn comes to. */
  async #refer(): Promise<void> {
    const account = new Account();
    await this.tell(TURNS, account, this.#callers(account, CONVERSATIONS));
    await until(() => this.ledger.sums(account).size === CONVERSATIONS * TURNS, { withinMs: SETTLE_MS });
    this.reference = this.ledger.sums(account);
  }

  #connect(): Redis {
    const client = connectRedis(`redis://127.0.0.1:${this.networks.ledger.port}`, 'patient');
    client.on('error', () => {
      // It is away: that is what this is about.
    });
    return client;
  }

  #callers(account: Account, count: number): Caller[] {
    const run = `faults ${this.seed} ${this.#runs++}`;
    const baseURL = `http://127.0.0.1:${this.networks.clients.port}`;
    const transcripts = join(this.#state, 'claude');
    return Array.from(
      { length: count },
      (_, conversation) => new Caller({ seed: this.seed, conversation, run, baseURL, transcripts, account }),
    );
  }

  async #read(): Promise<void> {
    const { client, last } = this.#reader;
    while (this.#reader.isOpen) {
      const keys = STREAMS.map((name) => `loom:${name}`);
      const from = keys.map((key) => last.get(key) ?? '0');
      const reply = await client.xread('COUNT', 500, 'BLOCK', 200, 'STREAMS', ...keys, ...from).catch(() => null);
      for (const [key, entries] of reply ?? []) {
        for (const [id, fields] of entries) {
          last.set(key, id);
          this.ledger.take(key.slice('loom:'.length), id, fields);
        }
      }
    }
  }
}
