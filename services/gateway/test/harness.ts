import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@loom/shared/config.ts';
import type { EventType, LoomEvent } from '@loom/shared/event.ts';
import { createLog } from '@loom/shared/log.ts';
import { EventReader } from '@loom/shared/testing/event-reader.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { Config } from '../src/config.ts';
import { type Gateway, startGateway } from '../src/gateway.ts';

export type Harness = Awaited<ReturnType<typeof startHarness>>;

/**
 * A gateway in this process, with a real Redis, a scripted upstream, and a spool folder of its own.
 *
 * @param prepare runs before the gateway starts: what it finds in Redis
 */
export async function startHarness(
  environment: Record<string, string> = {},
  prepare: (redis: RedisServer) => Promise<void> = async () => {},
) {
  const redis = await startRedis();
  await prepare(redis);
  const upstream = await startUpstream();
  const spoolFolder = await mkdtemp(join(tmpdir(), 'loom-spool-'));
  const settings = {
    REDIS_URL: redis.url,
    LOOM_PORT: '0',
    LOOM_ADMIN_PORT: '0',
    LOOM_UPSTREAM_URL: upstream.url,
    LOOM_SPOOL_DIR: spoolFolder,
    LOG_LEVEL: 'error',
    // A busy machine has Redis take its time.
    LOOM_READ_MS: '300',
    ...environment,
  };
  const log = createLog({ service: 'gateway', level: settings.LOG_LEVEL });
  const start = () => startGateway(loadConfig(Config, settings), log);
  let gateway = await start();
  const client = redis.client();
  const reader = new EventReader(client);

  return {
    redis,
    upstream,
    client,
    settings,
    spoolFolder,
    get gateway(): Gateway {
      return gateway;
    },
    /** Stops the gateway and starts another one with the same settings, on another port. */
    async restartGateway(): Promise<void> {
      await gateway.stop();
      gateway = await start();
    },
    /** Sends a request; headers and body go out as they are. */
    send(
      path: string,
      init: { method?: string; headers?: Record<string, string>; body?: string | Uint8Array<ArrayBuffer> } = {},
    ): Promise<Response> {
      return fetch(`${gateway.url}${path}`, { method: 'POST', ...init });
    },
    /** The events of a type that are on its stream now. */
    async events<Type extends EventType>(stream: string, type: Type): Promise<LoomEvent<Type>[]> {
      return reader.of(type, stream);
    },
    /** Waits until a stream has this many events of a type. */
    async eventsWhen<Type extends EventType>(stream: string, type: Type, count: number): Promise<LoomEvent<Type>[]> {
      await until(async () => (await this.events(stream, type)).length >= count);
      return this.events(stream, type);
    },
    /** Waits for a session's first event of a type. */
    async eventOf<Type extends EventType>(stream: string, type: Type, session: string): Promise<LoomEvent<Type>> {
      const find = async () => (await this.events(stream, type)).find(({ subject }) => subject === session);
      await until(find);
      return (await find()) as LoomEvent<Type>;
    },
    /** The value of a counter at `/metrics`, over all series that have these labels; 0 while it was never counted. */
    async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
      const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      const series = text.split('\n').filter((line) => line.startsWith(name) && /^[{ ]/.test(line.slice(name.length)));
      const counted = series.filter((line) => wanted.every((label) => line.includes(label)));
      return counted.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    },
    async close(): Promise<void> {
      await gateway.stop();
      await upstream.close();
      await redis.close();
      await rm(spoolFolder, { recursive: true, force: true });
    },
  };
}
