import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Draft } from '@loom/shared/event.ts';
import { startService } from '@loom/shared/service.ts';
import { Streams } from '@loom/shared/streams.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import type { Redis } from 'ioredis';
import { StreamKeeper } from '../../src/adapters/stream-keeper.ts';
import { log } from '../quiet-log.ts';

const KEY = 'loom:turns';

let server: RedisServer;
let redis: Redis;
let streams: Streams;
let keepers: StreamKeeper[];
let told: Draft[];

beforeAll(async () => {
  server = await startRedis();
  redis = server.client();
});
afterAll(() => server.close());
beforeEach(async () => {
  await redis.flushall();
  streams = new Streams({ url: server.url, prefix: 'loom', source: '/test', log });
  await until(() => streams.connected);
  [keepers, told] = [[], []];
});
afterEach(() => {
  for (const keeper of keepers) keeper.stop();
  streams.close();
});

function keep(gateway = 'g1', goneMs = 60_000): void {
  const publisher = { publish: (fact: Draft | (() => Draft)) => void told.push(fact as Draft) };
  keepers.push(new StreamKeeper({ streams, publisher, log, gateway, everyMs: 20, goneMs, keep: () => 100 }));
}

async function append(count: number): Promise<void> {
  const batch = redis.pipeline();
  for (let at = 0; at < count; at++) batch.xadd(KEY, '*', 'a', 'b');
  await batch.exec();
}

/** Waits until the keeper has looked at everything once more. */
async function nextRound(): Promise<void> {
  await redis.del('loom:streams-kept');
  await until(() => redis.exists('loom:streams-kept'));
}

const lengthOf = () => redis.xlen(KEY);
const read = (group: string, count: number) =>
  redis.xreadgroup('GROUP', group, 'c1', 'COUNT', count, 'NOACK', 'STREAMS', KEY, '>');

describe('StreamKeeper', () => {
  test('trims a stream to what it keeps, in whole nodes, when its groups have read it', async () => {
    await redis.xgroup('CREATE', KEY, 'reader', '0', 'MKSTREAM');
    await append(550);
    keep();
    await nextRound();
    expect(await lengthOf()).toBe(550);

    await read('reader', 550);

    await until(async () => (await lengthOf()) === 150);
  });

  test('does not trim what a group has read and not acknowledged', async () => {
    await redis.xgroup('CREATE', KEY, 'reader', '0', 'MKSTREAM');
    await append(550);
    await read('reader', 210);
    await redis.xreadgroup('GROUP', 'reader', 'c1', 'COUNT', 1, 'STREAMS', KEY, '>');
    await read('reader', 550);
    keep();

    await until(async () => (await lengthOf()) === 350);
    await nextRound();
    expect(await lengthOf()).toBe(350);
  });

  test('tells what a stopped group has lost to those who write, once', async () => {
    await redis.xgroup('CREATE', KEY, 'reader', '0', 'MKSTREAM');
    await append(20);
    await read('reader', 5);
    const [[last]] = (await redis.xrange(KEY, '-', '+', 'COUNT', 5)).slice(-1) as [[string, string[]]];
    await redis.xtrim(KEY, 'MAXLEN', '=', 3);
    keep();
    await until(() => told.length > 0);

    await redis.xtrim(KEY, 'MAXLEN', '=', 2);
    await until(() => redis.exists('loom:streams-kept'));

    const [first] = await redis.xrange(KEY, '-', '+');
    expect(first?.[0]).toBeDefined();
    expect(told).toEqual([
      {
        type: 'stream.gap',
        id: `turns:reader:${last}:17`,
        subject: 'reader',
        data: { stream: 'turns', group: 'reader', state: 'unread', from: last, to: expect.any(String), lost: 12 },
      },
    ]);
  });

  test('leaves the work to one of several gateways, and another takes over', async () => {
    await redis.xgroup('CREATE', KEY, 'reader', '0', 'MKSTREAM');
    await append(10);
    await redis.xtrim(KEY, 'MAXLEN', '=', 3);
    keep('g1');
    keep('g2');
    await until(() => told.length > 0);
    keepers[0]?.stop();

    await nextRound();

    // Without its notes it is told again, under the same id.
    expect(new Set(told.map(({ id }) => id)).size).toBe(1);
  });

  test('takes consumers out of their groups that are no more, unless they have something pending', async () => {
    const service = await startService({
      name: 'reader',
      replica: 'alive',
      streams,
      log,
      on: { 'turn.ended': () => [] },
    });
    await append(1);
    await redis.xgroup('CREATECONSUMER', KEY, 'reader', 'killed');
    await redis.xgroup('CREATE', KEY, 'other', '0');
    await redis.xreadgroup('GROUP', 'other', 'killed in the middle', 'COUNT', 1, 'STREAMS', KEY, '>');
    await redis.xgroup('CREATECONSUMER', KEY, 'other', 'killed');
    const consumers = async (group: string) =>
      ((await redis.xinfo('CONSUMERS', KEY, group)) as string[][]).map((fields) => fields[1]);
    keep('g1', 50);

    await until(async () => (await consumers('other')).length === 1);
    await until(async () => (await consumers('reader')).length === 1);
    await nextRound();

    expect([await consumers('reader'), await consumers('other')]).toEqual([['alive'], ['killed in the middle']]);
    await service.stop();
  });
});
