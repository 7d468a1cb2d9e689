import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { openPinnedPrompts } from '../../src/adapters/pinned-prompts.ts';
import { PROMPTS, readLog } from '../shown.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());

const keyOf = (name: string) => `t:${name}`;
const open = () => {
  const { log, lines } = readLog();
  const redis = server.client();
  return { redis, lines, pinned: openPinnedPrompts(redis, keyOf, log) };
};

describe('openPinnedPrompts', () => {
  test('gives back what was pinned to the session, and to no other', async () => {
    const { pinned } = open();

    await pinned.pin('s1', PROMPTS);

    expect(await pinned.find('s1')).toEqual(PROMPTS);
    expect(await pinned.find('s2')).toBeUndefined();
  });

  test('keeps a record for 30 days', async () => {
    const { pinned, redis } = open();

    await pinned.pin('s3', PROMPTS);

    const seconds = await redis.ttl('t:compaction:s3');
    expect(seconds).toBeGreaterThan(30 * 24 * 60 * 60 - 60);
    expect(seconds).toBeLessThanOrEqual(30 * 24 * 60 * 60);
  });

  test.each([
    ['no JSON', 'nonsense'],
    ['of another form', '{"identity":""}'],
  ])('finds nothing in a record that is %s, and says so', async (_, record) => {
    const { pinned, redis, lines } = open();
    await redis.set('t:compaction:s4', record);

    expect(await pinned.find('s4')).toBeUndefined();
    expect(lines).toEqual(['warn: the prompts of the last compaction cannot be read: the current ones serve']);
  });

  test('gives up a Redis that does not answer', async () => {
    const { pinned, redis, lines } = open();
    await redis.ping();
    server.freeze();

    const found = await pinned.find('s1');
    await pinned.pin('s1', PROMPTS);
    server.thaw();

    expect(found).toBeUndefined();
    expect(lines).toEqual([
      'warn: the prompts of the last compaction cannot be read: the current ones serve',
      'warn: the prompts of this compaction cannot be stored',
    ]);
  });
});
