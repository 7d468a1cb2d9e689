import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { openMemorableStore } from '../../src/adapters/memorable-store.ts';

const server = await startRedis();
const redis = server.client();
const replica = () => openMemorableStore(server.client(), (name) => `t:${name}`, 1_000);
const store = replica();
const other = replica();

beforeEach(() => redis.flushall());
afterAll(() => server.close());

/** What the session's list is, and what of it anchors have, as somebody sees it who asks for another message. */
const listOf = async (session: string) => (await store.look(session, 'another')).list;
const injectedOf = async (session: string, items: string[]) => {
  const { isInjected } = await store.look(session, 'another');
  return isInjected && items.filter(isInjected);
};

const tea = { text: 'block of tea', items: ['tea'] };
const teaAndDoor = { text: 'block of both', items: ['tea', 'door'] };

describe('look', () => {
  test("reads Intro's own key, which has no prefix, oldest first", async () => {
    await redis.rpush('intro:memorables:s', 'tea', 'door');

    expect(await listOf('s')).toEqual(['tea', 'door']);
  });

  test('is empty when the key is missing', async () => {
    expect(await listOf('s')).toEqual([]);
  });

  test('reads no more of a huge item than anybody looks at', async () => {
    await redis.rpush('intro:memorables:s', 'x'.repeat(1_000_000), 'tea');

    const items = await listOf('s');

    expect(items.map((item) => item.length)).toEqual([16_384, 3]);
  });

  test('reads the newest 1,000 of a list that only grows', async () => {
    const list = Array.from({ length: 1_001 }, (_, at) => `item ${at}`);
    await redis.rpush('intro:memorables:s', ...list);

    expect(await listOf('s')).toEqual(list.slice(1));
  });

  test('gives a released block again, and takes its items', async () => {
    await store.record('s', 'a', teaAndDoor);
    await store.release('s', 'a');

    expect((await other.look('s', 'a')).text).toBe('block of both');
    expect(await injectedOf('s', ['tea', 'door'])).toEqual(['tea', 'door']);
  });

  test('says why the list cannot be read, and all the rest', async () => {
    await store.record('s', 'a', tea);
    await redis.set('intro:memorables:s', 'no list');

    const { text, list, fault } = await store.look('s', 'a');

    expect({ text, list, fault: String(fault) }).toEqual({
      text: 'block of tea',
      list: [],
      fault: expect.stringContaining('WRONGTYPE'),
    });
  });

  test('does not look a long session through, whose next record tells what is taken', async () => {
    const many = Array.from({ length: 511 }, (_, at) => `item ${at}`);
    await store.record('s', 'a', { text: 'block of many', items: many });

    expect((await store.look('s', 'b')).isInjected).toBeUndefined();
    const list = ['item 3', 'tea', 'item 510'];
    const choice = await store.record('s', 'b', { text: 'block', items: ['item 3', 'tea'] }, list);
    expect(choice).toEqual({ injected: new Set(['item 3', 'item 510']) });
  });

  test('rejects when Redis is frozen, within its limit', async () => {
    const impatient = openMemorableStore(redis, (name) => `t:${name}`, 20);
    server.freeze();
    try {
      await expect(impatient.look('s', 'a')).rejects.toThrow('expected Redis to answer within 20 ms');
    } finally {
      server.thaw();
    }
  });
});

describe('record', () => {
  test('returns the block, and that it is the first of the session', async () => {
    expect(await store.record('s', 'a', tea)).toEqual({ text: 'block of tea', isFirst: true });
    expect(await store.record('s', 'b', { text: 'block of door', items: ['door'] })).toEqual({
      text: 'block of door',
      isFirst: false,
    });
    expect(await injectedOf('s', ['door', 'cup', 'tea'])).toEqual(['door', 'tea']);
  });

  test('gives the block that another replica recorded for the anchor', async () => {
    await other.record('s', 'a', tea);

    expect(await store.record('s', 'a', teaAndDoor)).toEqual({ text: 'block of tea', isFirst: false });
    expect(await injectedOf('s', ['tea', 'door'])).toEqual(['tea']);
  });

  test('records nothing when another anchor has one of the items', async () => {
    await other.record('s', 'a', tea);

    const choice = await store.record('s', 'b', teaAndDoor, ['cup', 'tea', 'door']);

    expect(choice).toEqual({ injected: new Set(['tea']) });
    expect((await store.look('s', 'b')).text).toBeUndefined();
    expect(await injectedOf('s', ['door'])).toEqual([]);
  });

  test('keeps sessions apart', async () => {
    await store.record('s', 'a', tea);

    expect((await store.look('other session', 'a')).text).toBeUndefined();
    expect(await injectedOf('other session', ['tea'])).toEqual([]);
  });

  test('lasts for 30 days from the last time that it was asked for', async () => {
    await store.record('s', 'a', tea);
    expect(await redis.ttl('t:injected:s')).toBe(30 * 24 * 60 * 60);

    await redis.expire('t:injected:s', 100);
    await store.look('s', 'a');
    expect(await redis.ttl('t:injected:s')).toBe(30 * 24 * 60 * 60);
  });
});

describe('release', () => {
  test('frees the items of a block that did not go out', async () => {
    await store.record('s', 'a', teaAndDoor);

    expect(await store.release('s', 'a')).toBe(2);
    expect(await injectedOf('s', ['tea', 'door'])).toEqual([]);
  });

  test('does nothing the second time, or for an anchor without a block', async () => {
    await store.record('s', 'a', tea);
    await store.release('s', 'a');

    expect(await store.release('s', 'a')).toBe(0);
    expect(await store.release('s', 'unknown')).toBe(0);
    expect(await store.release('unknown', 'a')).toBe(0);
  });

  test('does nothing to an anchor that was applied once', async () => {
    await store.record('s', 'a', tea);
    await store.apply('s', 'a');

    expect(await store.release('s', 'a')).toBe(0);
    expect(await injectedOf('s', ['tea'])).toEqual(['tea']);
  });

  test('leaves an item alone that went to another anchor meanwhile', async () => {
    await store.record('s', 'a', tea);
    await store.release('s', 'a');
    await store.record('s', 'b', tea);

    expect(await store.release('s', 'a')).toBe(0);
    expect(await injectedOf('s', ['tea'])).toEqual(['tea']);
  });
});

describe('apply', () => {
  test('takes the items again when it arrives after a release', async () => {
    await store.record('s', 'a', teaAndDoor);
    await store.release('s', 'a');
    await store.apply('s', 'a');

    expect(await injectedOf('s', ['tea', 'door'])).toEqual(['tea', 'door']);
    expect(await store.release('s', 'a')).toBe(0);
  });

  test('leaves nothing behind for an anchor without a block', async () => {
    await store.apply('s', 'a');

    expect(await redis.exists('t:injected:s')).toBe(0);
  });
});
