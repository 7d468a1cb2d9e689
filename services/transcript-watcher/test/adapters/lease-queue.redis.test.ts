import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { LeaseQueue } from '../../src/adapters/lease-queue.ts';

const server = await startRedis();
const redis = server.client();
const log = createLog({ service: 'test', level: 'error' });
let streams: Streams;
let queue: LeaseQueue;

beforeEach(async () => {
  await redis.flushall();
  streams = new Streams({ url: server.url, prefix: 't', source: '/loom/transcript-watcher/test', log });
  queue = new LeaseQueue(streams, log);
  await until(() => streams.connected);
});
afterEach(() => streams.close());
afterAll(() => server.close());

describe('want', () => {
  test('asks once for many requests of one session, but again when there is no lease', async () => {
    const asked = async () => Number(await redis.get('t:bull:watch:id'));
    await queue.want('s1', false);
    await queue.want('s1', true);
    await queue.want('s1', true);
    expect(await asked()).toBe(1);

    await queue.want('s1', false);
    await queue.want('s2', true);
    expect(await asked()).toBe(3);
    expect(await redis.llen('t:bull:watch:wait')).toBe(2);
  });

  test('rejects at once while Redis is away', async () => {
    await queue.want('s1', false);
    await server.kill();
    await until(() => !streams.connected);

    await expect(queue.want('s2', false)).rejects.toThrow();
    await server.start();
  });

  test('asks again for what may have gone with Redis', async () => {
    await queue.want('s1', false);
    await server.kill();
    await server.start();

    await until(() => streams.connected);
    await queue.want('s1', true);

    expect(await redis.exists('t:bull:watch:de:s1')).toBe(1);
  });
});
