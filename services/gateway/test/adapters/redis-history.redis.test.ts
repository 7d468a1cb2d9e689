import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Draft } from '@loom/shared/event.ts';
import { Streams } from '@loom/shared/streams.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import type { Redis } from 'ioredis';
import { RedisHistory } from '../../src/adapters/redis-history.ts';
import { log } from '../quiet-log.ts';

let server: RedisServer;
let redis: Redis;
let streams: Streams;
let histories: RedisHistory[];
let told: Draft[];

beforeAll(async () => {
  server = await startRedis({ aof: true });
  redis = server.client();
});
afterAll(() => server.close());
beforeEach(async () => {
  await redis.flushall();
  streams = new Streams({ url: server.url, prefix: 'loom', source: '/test', log });
  await until(() => streams.connected);
  [histories, told] = [[], []];
});
afterEach(() => {
  for (const history of histories) history.stop();
  streams.close();
});

function watch(gateway: string): void {
  const publisher = { publish: (fact: Draft | (() => Draft)) => void told.push(fact as Draft) };
  histories.push(new RedisHistory({ streams, publisher, log, gateway, everyMs: 20 }));
}

/** Waits until each of them has looked at least once more. */
async function looked(): Promise<void> {
  const looks = async () => Number(/cmdstat_set:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
  const before = await looks();
  await until(async () => (await looks()) >= before + 2 * histories.length);
}

describe('RedisHistory', () => {
  test('tells of a Redis that was emptied, once, and of the next time again', async () => {
    watch('g1');
    await looked();
    await redis.flushall();

    await until(() => told.length === 1);
    await looked();
    expect(told).toEqual([
      {
        type: 'redis.emptied',
        id: expect.stringMatching(/^emptied:[0-9a-f-]{36}$/),
        subject: 'g1',
        data: { gateway: 'g1', since: expect.any(String) },
      },
    ]);

    await redis.flushall();
    await until(() => told.length === 2);
    expect(new Set(told.map(({ id }) => id)).size).toBe(2);
  });

  test('tells in one event, by its id, with another gateway', async () => {
    watch('g1');
    watch('g2');
    await looked();
    await redis.flushall();

    await until(() => told.length === 2);
    await looked();
    expect(new Set(told.map(({ id }) => id)).size).toBe(1);
  });

  test('says nothing of a Redis that another gateway had marked, nor of one that comes back with its file', async () => {
    watch('g1');
    await looked();
    watch('g2');
    await looked();
    await server.kill();
    await server.start();
    await looked();

    expect(told).toEqual([]);
  });
});
