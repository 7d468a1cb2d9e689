import { appendFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { loadConfig } from '@loom/shared/config.ts';
import { type DataOf, encodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { createLog, type Logger } from '@loom/shared/log.ts';
import { startService } from '@loom/shared/service.ts';
import { Streams } from '@loom/shared/streams.ts';
import { EventReader } from '@loom/shared/testing/event-reader.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import type { Redis } from 'ioredis';
import { LeaseQueue } from '../src/adapters/lease-queue.ts';
import { Config } from '../src/config.ts';
import { NAME, Watcher } from '../src/watch.ts';

/** A line of a transcript, as it came out of Redis. */
export interface PublishedLine {
  text: string;
  file: string;
  agentId?: string;
  traceparent: string;
}

/** A watcher in this process, and what it logged. */
export interface Replica {
  watcher: Watcher;
  /** `<level>: <message>`, one a line. */
  lines: string[];
  /** The sessions that it ever held. */
  taken: Set<string>;
  stop(): Promise<void>;
}

/** A Redis and a client's data folder of the test's own, and the watchers that run on them. */
export class World {
  readonly server: RedisServer;
  readonly redis: Redis;
  readonly folder: string;
  readonly #gateway: Redis;
  readonly #events: EventReader;
  readonly #replicas = new Set<Replica>();
  #requests = 0;

  private constructor(server: RedisServer, folder: string) {
    this.server = server;
    this.folder = folder;
    this.redis = server.client();
    this.#events = new EventReader(this.redis, 't');
    this.#gateway = server.client();
  }

  static async open(options?: { aof?: boolean }): Promise<World> {
    return new World(await startRedis(options), await mkdtemp(join(tmpdir(), 'loom-watch-')));
  }

  /** The environment of a watcher of this world. */
  environment(settings: Record<string, string> = {}): Record<string, string> {
    return { REDIS_URL: this.server.url, LOOM_KEY_PREFIX: 't', CLAUDE_DATA_DIR: this.folder, ...settings };
  }

  /** Starts a watcher; resolves when it hears requests. */
  async start(settings: Record<string, string> = {}): Promise<Replica> {
    const config = loadConfig(Config, this.environment(settings));
    const lines: string[] = [];
    const taken = new Set<string>();
    const log = quietLog((line, session) => {
      lines.push(line);
      if (line === 'info: lease taken' && session !== undefined) taken.add(session);
    });
    const streams = new Streams({ url: config.REDIS_URL, prefix: 't', source: `/loom/${NAME}/test`, log });
    const watcher = new Watcher(config, streams, log);
    watcher.start();
    const service = await startService({
      name: NAME,
      replica: `replica-${this.#requests++}`,
      streams,
      log,
      on: { 'request.received': (event, delivery) => watcher.see(event, delivery) },
    });
    const replica: Replica = {
      watcher,
      lines,
      taken,
      stop: async () => {
        this.#replicas.delete(replica);
        await Promise.all([service.stop(), watcher.stop()]);
        streams.close();
      },
    };
    this.#replicas.add(replica);
    return replica;
  }

  /** Publishes a request's event as a gateway does, told of at a time, Unix ms; resolves to its traceparent. */
  async request(session: string, hint?: string, atMs = Date.now()): Promise<string> {
    this.#requests += 1;
    const number = this.#requests.toString(16);
    const traceparent = `00-${number.padStart(32, '0')}-${number.padStart(16, '0')}-01`;
    const data: DataOf<'request.received'> = {
      requestId: `r${number}`,
      gateway: 'g1',
      class: 'main',
      profile: 'alpha',
      model: null,
      replyStream: 't:edits:g1',
      awaited: [],
      path: '/v1/messages',
      stream: true,
      body: { bytes: 1, messages: 1, tools: 0 },
      ...(hint === undefined ? {} : { hook: { transcriptPath: hint } }),
    };
    const event: LoomEvent<'request.received'> = {
      type: 'request.received',
      id: `e${number.padStart(8, '0')}`,
      source: '/loom/gateway/g1',
      subject: session,
      time: new Date(atMs).toISOString(),
      traceparent,
      data,
    };
    await this.#gateway.xadd('t:requests', '*', ...encodeEvent(event));
    return traceparent;
  }

  /** Asks for a session's lease without a request. */
  async want(session: string): Promise<void> {
    const log = quietLog(() => {});
    const streams = new Streams({ url: this.server.url, prefix: 't', source: '/loom/test', log });
    await until(() => streams.connected);
    await new LeaseQueue(streams, log).want(session, false);
    streams.close();
  }

  /** Appends one line to a transcript, as the client does; the path is below the root. */
  async append(file: string, text: string): Promise<void> {
    const path = join(this.folder, 'projects', file);
    await mkdir(dirname(path), { recursive: true });
    await appendFile(path, `${JSON.stringify({ type: 'user', message: { role: 'user', content: text } })}\n`);
  }

  /** What was published so far, in order. */
  async published(): Promise<PublishedLine[]> {
    return (await this.#events.of('transcript.line')).map(({ data, traceparent }) => {
      const { text, file, agentId } = data;
      return { text, file, traceparent, ...(agentId === undefined ? {} : { agentId }) };
    });
  }

  /** Waits until as many lines are published, and gives their texts. */
  async texts(count: number): Promise<string[]> {
    await until(async () => (await this.redis.xlen('t:transcripts')) >= count);
    return (await this.published()).map(({ text }) => text);
  }

  async alerts(): Promise<object[]> {
    return (await this.#events.on('alerts')).map(({ type, subject, data }) => ({ type, subject, data }));
  }

  /** Ends the watchers and forgets all sessions. */
  async clear(): Promise<void> {
    await this.server.start();
    // BullMQ never ends closing while its connection is about to come back.
    await until(async () => {
      const waiting = String(await this.redis.client('LIST')).match(/cmd=bzpopmin/g) ?? [];
      return waiting.length >= this.#replicas.size;
    });
    await Promise.all([...this.#replicas].map((replica) => replica.stop()));
    await this.redis.flushall();
    await rm(join(this.folder, 'projects'), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#replicas].map((replica) => replica.stop()));
    await this.server.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function quietLog(tell: (line: string, session?: string) => void): Logger {
  const log = createLog({ service: NAME, level: 'info' });
  for (const transport of log.transports) transport.silent = true;
  log.on('data', ({ level, message, session }) => tell(`${level}: ${message}`, session));
  return log;
}
