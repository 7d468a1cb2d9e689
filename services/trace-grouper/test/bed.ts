import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { loadConfig } from '@loom/shared/config.ts';
import type { Draft, EventType, LoomEvent } from '@loom/shared/event.ts';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { contextOf } from '@loom/shared/telemetry.ts';
import { EventReader } from '@loom/shared/testing/event-reader.ts';
import { type OtlpReceiver, startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import type { RedisServer } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { readPrices } from '../src/adapters/price-file.ts';
import { openSpanExporter } from '../src/adapters/span-exporter.ts';
import { Config } from '../src/config.ts';
import { type Grouper, openGrouper } from '../src/grouper.ts';

const log = createLog({ service: 'test', level: 'error' });
log.silent = true;

let beds = 0;

/** Settings that end a turn soon; a test that needs another one says so. */
const SOON = { LOOM_TURN_GRACE_MS: '50', LOOM_TURN_RETRY_MS: '60000', LOOM_TURN_IDLE_MS: '60000' };

/** A collector that answers as it is told; it keeps what it took. */
export interface Collector extends OtlpReceiver {
  /** Default 200. A 500 is not repeated by the exporter itself. */
  status: number;
  /** Requests that it did not take. */
  readonly refused: number;
}

export async function startCollector(): Promise<Collector> {
  const receiver = await startOtlpReceiver();
  let [status, refused] = [200, 0];
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    if (status !== 200) {
      refused += 1;
      response.writeHead(status).end();
      return;
    }
    const headers = { 'content-encoding': String(request.headers['content-encoding'] ?? 'identity') };
    const taken = await fetch(receiver.url + request.url, { method: 'POST', headers, body: new Uint8Array(body) });
    response.writeHead(taken.status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ...receiver,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get status() {
      return status;
    },
    set status(next) {
      status = next;
    },
    get refused() {
      return refused;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await receiver.close();
    },
  };
}

/** Groupers in this process, on a real Redis, with keys of their own. */
export async function openBed(server: RedisServer, collector: Collector) {
  beds += 1;
  const prefix = `{t${beds}}`;
  const redis = server.client();
  const reader = new EventReader(redis, prefix);
  const gateway = new Streams({ url: server.url, prefix, source: '/loom/gateway/g1', log });
  await until(() => gateway.connected);
  const presence = `${prefix}:service:gateway:g1`;
  // It has sent whatever spans it will ever make.
  const sent = { lostUntil: 0, sentUntil: Number.MAX_SAFE_INTEGER };
  await redis.set(presence, JSON.stringify({ spans: sent }));
  const open = new Set<Grouper>();
  const key = (name: string) => `${prefix}:${name}`;

  const bed = {
    prefix,
    redis,
    key,
    /** Starts a replica. */
    async start(settings: Record<string, string> = {}): Promise<Grouper> {
      const environment = { ...SOON, REDIS_URL: server.url, LOOM_KEY_PREFIX: prefix, ...settings };
      // The exporter reads the environment of its process.
      process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = collector.url;
      const streams = new Streams({ url: server.url, prefix, source: '/loom/trace-grouper', log });
      const exporter = openSpanExporter(process.env);
      const config = loadConfig(Config, environment);
      const replica = `trace-grouper-${open.size + 1}`;
      const grouper = openGrouper({ config, streams, exporter, log, prices: await readPrices(), replica });
      open.add(grouper);
      await grouper.start();
      return grouper;
    },
    async stop(grouper: Grouper): Promise<void> {
      open.delete(grouper);
      await grouper.stop();
    },
    /** The gateway is killed: its announcement lapses. */
    async killGateway(): Promise<void> {
      await redis.del(presence);
    },
    /** The gateway says which of its spans are with the collector. */
    async announce(spans: { lostUntil: number; sentUntil: number }): Promise<void> {
      await redis.set(presence, JSON.stringify({ spans }));
    },
    /** Publishes in turn, as a gateway does. */
    async publish(...drafts: Draft[]): Promise<void> {
      await gateway.append(drafts.map((draft) => gateway.seal(draft, contextOf())));
    },
    /** The events of a type so far. */
    async events<Type extends EventType>(type: Type): Promise<LoomEvent<Type>[]> {
      return reader.of(type);
    },
    /** Waits until so many turns have ended, and their spans are with the collector. */
    async ended(count: number): Promise<LoomEvent<'turn.ended'>[]> {
      await until(async () => (await bed.events('turn.ended')).length >= count);
      await bed.idle();
      return bed.events('turn.ended');
    },
    /** Waits until everything published is handled, and no turn's state is left. */
    async idle(): Promise<void> {
      await until(async () => {
        const states = await redis.keys(key('turn:*'));
        return states.every((state) => state.endsWith(':done')) && (await bed.unhandled()) === 0;
      });
    },
    /** Waits until the groupers have taken what was published. */
    async taken(): Promise<void> {
      await until(async () => (await bed.unhandled()) === 0);
    },
    async unhandled(): Promise<number> {
      const streams = ['requests', 'responses', 'captures', 'transcripts'];
      const groups = await Promise.all(
        streams.map((stream) => redis.xinfo('GROUPS', key(stream)).catch(() => []) as Promise<unknown[][]>),
      );
      // name, …, pending, …, lag, …: a flat list of names and values.
      const counts = groups.flat().map((group) => Number(group[5]) + Number(group[11] ?? 0));
      return counts.reduce((sum, count) => sum + count, 0);
    },
    async close(): Promise<void> {
      await Promise.all([...open].map((grouper) => grouper.stop()));
      gateway.close();
    },
  };
  return bed;
}

export type Bed = Awaited<ReturnType<typeof openBed>>;
