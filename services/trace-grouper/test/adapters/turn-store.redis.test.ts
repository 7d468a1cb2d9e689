import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { TurnStore } from '../../src/adapters/turn-store.ts';
import type { CapturedRecord, ExchangeRecord, TurnRecord } from '../../src/core/record.ts';
import { BEGIN, exchange, KEY, recordsOf, SESSION } from '../story.ts';

let server: RedisServer;
let streams: Streams;
let store: TurnStore;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  const log = createLog({ service: 'test', level: 'error' });
  streams = new Streams({ url: server.url, prefix: 't', source: '/loom/test', log });
  await until(() => streams.connected);
  await streams.redis.flushall();
  store = new TurnStore(streams);
});
afterEach(() => streams.close());

const [received, forwarded, response, captured] = recordsOf(
  exchange('r1', { hook: { prompt: 'Mend it.' }, output: [{ type: 'text', text: 'Mended.' }] }),
) as [ExchangeRecord, ExchangeRecord, ExchangeRecord, CapturedRecord];
const stopped: TurnRecord = { kind: 'interrupted', session: SESSION, time: BEGIN, data: { id: 'l1' } };
const opens = { opens: true };

describe('a turn in Redis', () => {
  test('keeps each record once, and knows which one opened it', async () => {
    expect([
      await store.add(KEY, forwarded, opens),
      await store.add(KEY, received, opens),
      await store.add(KEY, forwarded, opens),
    ]).toEqual([
      { state: 'added', isOpener: true },
      { state: 'added', isOpener: false },
      { state: 'known', isOpener: true },
    ]);
    const records = (await store.read(KEY, true))?.records ?? [];
    expect(new Set(records)).toEqual(new Set([received, forwarded]));
    expect(records).toHaveLength(2);
  });

  test('gives out its content only when asked', async () => {
    await store.add(KEY, received, opens);
    await store.addCapture(KEY, captured);

    expect((await store.read(KEY, false))?.records).toEqual([received]);
    expect((await store.read(KEY, true))?.records).toEqual([received, captured]);
    expect(await store.read('other', true)).toBeUndefined();
  });

  test('is quiet since the last record that counts', async () => {
    await streams.redis.hset(streams.key(`turn:${KEY}`), 'seen', BEGIN);
    const quietMs = async () => Math.sign(((await store.read(KEY, false))?.quietMs ?? 0) - 60_000);

    await store.add(KEY, received, { counts: false });
    const before = await quietMs();
    await store.add(KEY, forwarded);

    expect([before, await quietMs()]).toEqual([1, -1]);
  });

  test('is closed as it was read, once, and takes no more then', async () => {
    await store.add(KEY, received, opens);
    const version = (await store.read(KEY, false))?.version ?? 0;
    await store.add(KEY, response, opens);
    const changed = (await store.read(KEY, false))?.version ?? 0;

    expect([
      await store.close(KEY, version, 'end_turn', ['r1']),
      await store.close(KEY, changed, 'end_turn', ['r1']),
      await store.close(KEY, changed + 1, 'end_turn', ['r1']),
    ]).toEqual([false, true, false]);
    const [other] = recordsOf(exchange('r2')) as [ExchangeRecord];
    const states = [forwarded, other, stopped].map(async (record) => (await store.add(KEY, record)).state);
    expect(await Promise.all(states)).toEqual(['known', 'late', 'known']);
    const late = { ...captured, data: { ...captured.data, requestId: 'r2' } };
    expect([await store.addCapture(KEY, captured), await store.addCapture(KEY, late)]).toEqual(['known', 'late']);
    expect(await streams.redis.exists(streams.key(`turn:${KEY}:captures`))).toBe(0);
    const kept = await store.read(KEY, true);
    expect([kept?.ended, new Set(kept?.records)]).toEqual(['end_turn', new Set([received, response])]);
  });

  test('leaves a mark when it is forgotten, and everything lapses after a day', async () => {
    await store.add(KEY, received, opens);
    await store.addCapture(KEY, captured);
    await store.close(KEY, await store.versionOf(KEY), 'end_turn', ['r1']);
    const keys = await streams.redis.keys('t:*');
    const ttls = await Promise.all(keys.map((key) => streams.redis.ttl(key)));

    await store.forget(KEY);

    expect(keys).toHaveLength(4);
    expect(ttls.every((ttl) => ttl > 86_000 && ttl <= 86_400)).toBe(true);
    expect(await streams.redis.keys('t:turn:*')).toEqual([`t:turn:${KEY}:done`]);
    expect(await store.add(KEY, received, opens)).toEqual({ state: 'known', isOpener: false });
  });

  test('has room for so much content', async () => {
    const large = { ...captured, data: { ...captured.data, output: [{ type: 'text', text: 'x'.repeat(5_000_000) }] } };
    const second = { ...large, data: { ...large.data, requestId: 'r2' } };
    const taken = [];
    for (const each of [large, second]) taken.push(await store.addCapture(KEY, each));

    expect(taken).toEqual(['added', 'full']);
    await store.add(KEY, received, opens);
    expect((await store.read(KEY, false))?.captures).toBe(1);
  });
});

describe('the turns of a session', () => {
  const at = (name: string, startedAt: number) => store.add(name, received, { opens: true, startedAt });

  test('are known by their start, whichever was told of first', async () => {
    await at('k3', BEGIN + 9_000);
    await at('k1', BEGIN);
    await at('k2', BEGIN + 6_000);
    await store.add('k2', forwarded, { opens: true, startedAt: BEGIN + 5_000 });

    expect([
      await store.findTurnAt(SESSION, BEGIN - 1),
      await store.findTurnAt(SESSION, BEGIN + 4_999),
      await store.findTurnAt(SESSION, BEGIN + 5_000),
      await store.findTurnAt(SESSION, BEGIN + 99_000),
    ]).toEqual([undefined, 'k1', 'k2', 'k3']);
    const openings = await Promise.all(['k1', 'k3', 'stranger'].map((key) => store.findNextOpening(SESSION, key)));
    // By Redis' clock, whatever the events say.
    expect(openings).toEqual([expect.any(Number), undefined, undefined]);
    expect(openings[0]).toBeGreaterThan(BEGIN + 9_000);
  });

  test('are open until they are closed', async () => {
    await at('k1', BEGIN);
    await at('k2', BEGIN + 5_000);
    await at('k3', BEGIN + 9_000);
    await store.close('k1', (await store.read('k1', false))?.version ?? 0, 'end_turn', []);

    expect([await store.openBefore(SESSION, 'k3'), await store.openBefore(SESSION, 'k1')]).toEqual([['k2'], []]);
  });
});

describe('the turns that wait for the collector', () => {
  test('are given up, the oldest first, when they are too many', async () => {
    for (let at = 1; at <= 500; at += 1) await store.hold(`k${at}`, 10, at);
    await store.add('k1', received, opens);

    expect(await store.hold('k501', 10, 501)).toEqual(['k1']);
    expect(await store.hold('k501', 10, 502)).toEqual([]);
    expect(await store.read('k1', true)).toBeUndefined();
  });

  test('are given up when they are too large together, but for the newest', async () => {
    await store.hold('k1', 30_000_000, 1);
    await store.hold('k2', 30_000_000, 2);

    expect(await store.hold('k3', 30_000_000, 3)).toEqual(['k1']);
    expect(await store.hold('k4', 90_000_000, 4)).toEqual(['k2', 'k3']);
    await store.forget('k4');
    expect(await streams.redis.keys('t:turns-waiting*')).toEqual([]);
  });
});
