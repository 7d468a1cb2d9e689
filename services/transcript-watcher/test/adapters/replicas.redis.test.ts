import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { Replicas } from '../../src/adapters/replicas.ts';

const server = await startRedis();
const redis = server.client();
const log = createLog({ service: 'test', level: 'error' });
const streams = new Streams({ url: server.url, prefix: 't', source: '/loom/transcript-watcher/test', log });
const open = () => new Replicas(streams);

beforeEach(async () => {
  await until(() => streams.connected);
  await redis.flushall();
});
afterAll(async () => {
  streams.close();
  await server.close();
});

describe('Replicas', () => {
  test('hear of each other what each reported last', async () => {
    const [one, two, three] = [open(), open(), open()];

    expect(await one.report({ held: 300, room: 1_000 })).toEqual([]);
    await one.report({ held: 200, room: 1_000 });
    expect(await two.report({ held: 0, room: 10 })).toEqual([{ held: 200, room: 1_000 }]);
    const heard = await three.report({ held: 5, room: 5 });
    expect(heard.toSorted((a, b) => a.held - b.held)).toEqual([
      { held: 0, room: 10 },
      { held: 200, room: 1_000 },
    ]);
  });

  test('hear nothing of one that left', async () => {
    const [one, two] = [open(), open()];
    await one.report({ held: 0, room: 10 });
    await one.leave();

    expect(await two.report({ held: 0, room: 10 })).toEqual([]);
  });

  test("forget one that is silent, one of Redis' future, and what is no report", async () => {
    await redis.hset('t:watchers', {
      silent: `${Date.now() - 7_000} 0 1000`,
      future: `${Date.now() + 3_600_000} 0 1000`,
      garbage: '1',
    });
    const one = open();

    expect(await one.report({ held: 0, room: 10 })).toEqual([]);
    expect(await redis.hlen('t:watchers')).toBe(1);
    expect(await redis.ttl('t:watchers')).toBe(60);
  });
});
