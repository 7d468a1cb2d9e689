import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { WatchedSessions } from '../../src/adapters/watched-sessions.ts';
import type { Sighting } from '../../src/core/sighting.ts';

const server = await startRedis();
const redis = server.client();
const log = createLog({ service: 'test', level: 'error' });
const streams = new Streams({ url: server.url, prefix: 't', source: '/loom/transcript-watcher/test', log });
const watched = new WatchedSessions(streams);
const KEY = 't:watched:s1';
const traceparentOf = (digit: string) => `00-${digit.repeat(32)}-${digit.repeat(16)}-01`;

function sighting(atMs: number, eventId = 'e1', more: Partial<Sighting> = {}): Sighting {
  return { session: 's1', atMs, eventId, traceparent: traceparentOf(eventId.slice(-1)), ...more };
}

beforeEach(async () => {
  await until(() => streams.connected);
  await redis.flushall();
});

afterAll(async () => {
  streams.close();
  await server.close();
});

describe('see', () => {
  test('keeps the trace of the newest request, in whatever order they come', async () => {
    for (const [atMs, eventId] of [
      [1_000, 'e1'],
      [3_000, 'e3'],
      [2_000, 'e2'],
      [3_000, 'e2'],
      [999_999, 'e9'],
      [1_000_000, 'e8'],
    ] as const) {
      await watched.see(sighting(atMs, eventId));
    }

    expect(await redis.hget(KEY, 'traceparent')).toBe(traceparentOf('8'));
  });

  test('takes the larger id of two requests of one millisecond', async () => {
    await watched.see(sighting(1_000, 'e2'));
    await watched.see(sighting(1_000, 'e1'));
    expect(await redis.hget(KEY, 'traceparent')).toBe(traceparentOf('2'));

    await watched.see(sighting(1_000, 'e3'));
    expect(await redis.hget(KEY, 'traceparent')).toBe(traceparentOf('3'));
  });

  test('keeps the project of the newest hint, also where a later request has none', async () => {
    await watched.see(sighting(2_000, 'e1', { project: 'new' }));
    await watched.see(sighting(1_000, 'e2', { project: 'old' }));
    await watched.see(sighting(3_000, 'e3'));

    expect((await watched.find('s1')).project).toBe('new');
  });

  test('keeps when the first request came, in whatever order they come; one without a time is none', async () => {
    await watched.see(sighting(0));
    expect(await watched.find('s1')).toEqual({
      project: undefined,
      firstRequestAt: undefined,
      isBegun: false,
      isEnded: false,
    });

    for (const atMs of [2_000, 999, 1_000_000, 1_000]) await watched.see(sighting(atMs));
    expect((await watched.find('s1')).firstRequestAt).toBe(999);
  });

  test('says whether there is a lease: not at first, then until it ended', async () => {
    const first = await watched.see(sighting(1_000));
    const second = await watched.see(sighting(2_000));
    await redis.hset(KEY, 'seenAt', 0);
    expect(await watched.end('s1', 1_000)).toBe(0);
    const third = await watched.see(sighting(3_000));
    const fourth = await watched.see(sighting(4_000));

    expect([first, second, third, fourth].map(({ isHeld }) => isHeld)).toEqual([false, true, false, true]);
  });

  test('tells of each refused hint once, and of sixteen at most', async () => {
    const told: boolean[] = [];
    for (const name of ['a', 'a', 'b', 'a', ...Array.from({ length: 20 }, (_, at) => `c${at}`)]) {
      told.push((await watched.see(sighting(1_000, 'e1', { refusedHint: `/etc/${name}` }))).isNewHint);
    }

    expect(told.slice(0, 4)).toEqual([true, false, true, false]);
    expect(told.filter((isNew) => isNew)).toHaveLength(16);
  });

  test('stays for 30 days', async () => {
    await watched.see(sighting(1_000));

    expect(await redis.ttl(KEY)).toBe(30 * 24 * 60 * 60);
  });
});

describe('end', () => {
  test('does not end a session that a request named within the idle time, and says how long it stays', async () => {
    await watched.see(sighting(1_000));

    const restMs = await watched.end('s1', 60_000);

    expect(restMs).toBeGreaterThan(50_000);
    expect(restMs).toBeLessThanOrEqual(60_000);
    expect((await watched.find('s1')).isEnded).toBe(false);
  });

  test('ends one that none named, until the next does', async () => {
    await watched.see(sighting(1_000));
    await watched.noteBegun('s1');
    await redis.hset(KEY, 'seenAt', 0);

    expect(await watched.end('s1', 60_000)).toBe(0);
    expect(await watched.find('s1')).toEqual({
      project: undefined,
      firstRequestAt: 1_000,
      isBegun: true,
      isEnded: true,
    });

    await watched.see(sighting(500));
    expect(await watched.find('s1')).toEqual({
      project: undefined,
      firstRequestAt: 500,
      isBegun: true,
      isEnded: false,
    });
  });

  test("takes a request for one of this moment that is later than Redis' clock, which was set back", async () => {
    await watched.see(sighting(1_000));
    await redis.hset(KEY, 'seenAt', Date.now() + 3_600_000);

    expect(await watched.end('s1', 60_000)).toBe(60_000);
    expect(await watched.end('s1', 60_000)).toBeLessThanOrEqual(60_000);
    expect(await watched.end('s1', 1)).toBeLessThanOrEqual(1);
  });

  test('leaves no trace for ever of a session that Redis lost', async () => {
    expect(await watched.end('s1', 1_000)).toBe(0);
    expect(await redis.ttl(KEY)).toBe(30 * 24 * 60 * 60);
    expect(await watched.see(sighting(1_000))).toEqual({ isHeld: false, isNewHint: false });
    expect((await watched.find('s1')).isEnded).toBe(false);
  });
});

describe('restore', () => {
  test('tells a Redis that lost the session what its holder knows', async () => {
    const facts = { project: 'p', firstRequestAt: 1_000, isBegun: true };

    expect(await watched.restore('s1', facts)).toBe(true);
    expect(await watched.find('s1')).toEqual({ ...facts, isEnded: false });
    expect(await redis.ttl(KEY)).toBe(30 * 24 * 60 * 60);
    expect((await watched.see(sighting(2_000))).isHeld).toBe(true);
  });

  test('tells nothing that is not known, and nothing to one that knows the session', async () => {
    const facts = { project: undefined, firstRequestAt: undefined, isBegun: false };
    expect(await watched.restore('s1', facts)).toBe(true);
    expect(await watched.find('s1')).toEqual({ ...facts, isEnded: false });

    expect(await watched.restore('s1', { project: 'p', firstRequestAt: 1_000, isBegun: true })).toBe(false);
    expect(await watched.find('s1')).toEqual({ ...facts, isEnded: false });
  });
});
