import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Streams } from '@loom/shared/streams.ts';
import { useTelemetry } from '@loom/shared/telemetry.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import type { Redis } from 'ioredis';
import { Presence } from '../../src/adapters/presence.ts';
import { log } from '../quiet-log.ts';

const PRESENT = 'loom:service:gateway:g1';
const LEFT = 'loom:gateway-left:g1';

let server: RedisServer;
let redis: Redis;
let streams: Streams;
/** What the collector answers to a flush. */
let answer: () => Promise<boolean>;

beforeAll(async () => {
  server = await startRedis();
  redis = server.client();
});
afterAll(() => server.close());
beforeEach(async () => {
  await redis.flushall();
  streams = new Streams({ url: server.url, prefix: 'loom', source: '/test', log });
  await until(() => streams.connected);
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = 'http://127.0.0.1:4318';
  answer = async () => true;
  useTelemetry({ flush: () => answer(), shutdown: async () => {} });
});
afterEach(() => {
  delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT'];
  streams.close();
});

const tally = { handled: 7, failed: 1 };
const openBreakers = () => ['intro-injector'];
const open = () => new Presence({ streams, log, gateway: 'g1', tally, openBreakers, everyMs: 50 });

async function said(key = PRESENT) {
  return JSON.parse((await redis.get(key)) ?? '{}') as {
    handled?: number;
    spans?: { lostUntil: number; sentUntil: number };
  };
}

describe('Presence', () => {
  test('announces the gateway at once, and says then which of its spans have arrived', async () => {
    const before = Date.now();
    const presence = open();
    presence.start();

    const first = await until(async () => (await redis.exists(PRESENT)) === 1 && said());
    await until(async () => ((await said()).spans?.sentUntil ?? 0) >= before);

    expect(first).toEqual({
      since: expect.any(String),
      memoryBytes: expect.any(Number),
      ...{ handled: 7, failed: 1, openBreakers: ['intro-injector'] },
      spans: { lostUntil: 0, sentUntil: expect.any(Number) },
    });
    expect((await said()).spans?.lostUntil).toBe(0);
    const lapse = await redis.pttl(PRESENT);
    expect([lapse > 5_000, lapse <= 10_000]).toEqual([true, true]);
    await presence.leave();
  });

  test('says that spans are lost when the collector did not take them', async () => {
    answer = async () => false;
    const before = Date.now();
    const presence = open();
    presence.start();

    const spans = await until(async () => {
      const { spans } = await said();
      return (spans?.lostUntil ?? 0) >= before ? spans : undefined;
    });

    expect(spans).toEqual({ lostUntil: spans?.lostUntil, sentUntil: spans?.lostUntil });
    await presence.leave();
  });

  test('announces itself on time while the collector says nothing', async () => {
    answer = () => new Promise(() => {});
    const presence = open();
    presence.start();
    await until(async () => (await redis.exists(PRESENT)) === 1);

    await redis.del(PRESENT);

    await until(async () => (await redis.exists(PRESENT)) === 1);
    expect((await said()).spans).toEqual({ lostUntil: 0, sentUntil: 0 });
    await presence.leave();
  });

  test('says nothing of spans where none are exported', async () => {
    delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT'];
    const presence = open();
    presence.start();
    await until(async () => (await redis.exists(PRESENT)) === 1);

    expect((await said()).spans).toBeUndefined();
    await presence.leave();
  });

  test('takes leave for two days when all of its spans have arrived', async () => {
    const presence = open();
    presence.start();
    await until(async () => (await redis.exists(PRESENT)) === 1);

    await presence.leave();

    expect([await redis.exists(PRESENT), await redis.ttl(LEFT)]).toEqual([0, 172_800]);
    expect((await said(LEFT)).spans).toEqual({ lostUntil: 0, sentUntil: expect.any(Number) });
  });

  test('is gone without a word when they have not', async () => {
    const presence = open();
    presence.start();
    await until(async () => (await redis.exists(PRESENT)) === 1);
    answer = async () => false;

    await presence.leave();

    expect(await redis.exists(PRESENT, LEFT)).toBe(0);
  });

  test('leaves without Redis as well', async () => {
    streams.close();

    await expect(open().leave()).resolves.toBeUndefined();
  });
});
