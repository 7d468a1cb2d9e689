import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Streams } from '@loom/shared/streams.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import type { Redis } from 'ioredis';
import { BoundedReads } from '../../src/adapters/bounded-reads.ts';
import { LedgerStore } from '../../src/adapters/ledger-store.ts';
import { type Metrics, openMetrics } from '../../src/adapters/metrics.ts';
import { MAX_UNWRITTEN, REMEMBERED_SESSIONS, SessionRecords } from '../../src/adapters/session-records.ts';
import type { LedgerEntry } from '../../src/core/ledger.ts';
import type { TurnRecord } from '../../src/core/turn-record.ts';
import { log } from '../quiet-log.ts';

const ANCHOR = 'a'.repeat(64);
const TURN: TurnRecord = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  rootSpanId: '00f067aa0ba902b7',
  origin: 'client',
  clientSpanId: 'b7ad6b7169203331',
  anchor: ANCHOR,
  promptId: 'p1',
};

let server: RedisServer;
let client: Redis;
let streams: Streams;
let reads: BoundedReads;
let metrics: Metrics;

beforeEach(async () => {
  server = await startRedis();
  client = server.client();
  streams = new Streams({ url: server.url, prefix: 'loom', source: '/test', log });
  metrics = openMetrics();
  reads = new BoundedReads(streams, metrics, 1_000);
  await until(() => streams.connected);
});
afterEach(async () => {
  jest.restoreAllMocks();
  streams.close();
  await server.close();
});

const entryOf = (rewriter: string, json = '"x"'): LedgerEntry => ({
  rewriter,
  order: 1,
  edits: [{ kind: 'append', json }],
});
const full = () => client.config('SET', 'maxmemory', '1');
const roomy = () => client.config('SET', 'maxmemory', '0');

describe('BoundedReads', () => {
  test('waits its time for a frozen Redis once, then not at all until it answers again', async () => {
    const hasty = new BoundedReads(streams, openMetrics(), 50);
    const read = () => hasty.read((pipeline) => pipeline.get('k'));
    await until(read);
    server.freeze();
    const startedMs = performance.now();
    expect(await read()).toBeUndefined();
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(49);

    for (let at = 0; at < 5; at++) {
      // Neither a timer nor a socket gets its turn before.
      const waits = nextTurn('waits');
      expect(await Promise.race([read(), waits])).toBeUndefined();
      await waits;
    }

    server.thaw();
    await until(read);
  });

  test('takes neither a refused command nor a lost connection for an answer', async () => {
    await client.set('text', 'no hash');
    expect(await reads.read((pipeline) => pipeline.hgetall('text'))).toBeUndefined();

    const [, pid] = /process_id:(\d+)/.exec(await client.info('server')) ?? [];
    server.freeze();
    const reading = reads.read((pipeline) => pipeline.hgetall('h'));
    // Not thawed before, as `kill` does: it must not get to answer.
    process.kill(Number(pid), 'SIGKILL');

    expect(await reading).toBeUndefined();
  });
});

describe('LedgerStore', () => {
  test('writes what Redis did not take as soon as it does, and never over what is there', async () => {
    const ledger = new LedgerStore(streams, reads, metrics, log);
    await full();
    ledger.record('s1', ANCHOR, entryOf('scribe'));
    ledger.record('s1', ANCHOR, entryOf('other', '"mine"'));
    await ledger.load('s2', [ANCHOR], []);
    expect(await client.exists('loom:ledger:s1')).toBe(0);

    await roomy();
    const theirs = JSON.stringify(entryOf('other', '"theirs"'));
    await client.hset('loom:ledger:s1', `${ANCHOR}:other`, theirs);

    await until(async () => (await client.hlen('loom:ledger:s1')) === 2);
    expect(await client.hgetall('loom:ledger:s1')).toEqual({
      [`${ANCHOR}:scribe`]: JSON.stringify(entryOf('scribe')),
      [`${ANCHOR}:other`]: theirs,
    });
    await until(async () => (await client.ttl('loom:ledger:s1')) > 29 * 24 * 3_600);
    await ledger.close();
  });

  test('writes what is left when it closes', async () => {
    const ledger = new LedgerStore(streams, reads, metrics, log);
    await full();
    ledger.record('s1', ANCHOR, entryOf('scribe'));
    await client.ping();
    await roomy();

    await ledger.close();

    expect(await client.hlen('loom:ledger:s1')).toBe(1);
  });

  test('knows what Redis has not got also of a session that gave its place in memory to others', async () => {
    const ledger = new LedgerStore(streams, reads, metrics, log);
    await full();
    ledger.record('s1', ANCHOR, entryOf('scribe'));

    for (let at = 0; at < REMEMBERED_SESSIONS; at++) await ledger.load(`other-${at}`, [], []);

    expect(ledger.entriesAt('s1', ANCHOR)).toEqual([]);
    await ledger.load('s1', [ANCHOR], ['scribe']);
    expect(ledger.entriesAt('s1', ANCHOR)).toEqual([entryOf('scribe')]);
    await ledger.close();
  });

  test('counts, and says, what may be lost because too much waits for Redis', async () => {
    const error = jest.spyOn(log, 'error');
    const dropped = jest.spyOn(metrics.unwrittenDropped, 'add');
    const ledger = new LedgerStore(streams, reads, metrics, log);
    await server.kill();
    await until(() => !streams.connected);

    for (let at = 0; at <= MAX_UNWRITTEN; at++) ledger.record('s1', `${at}`.padStart(64, '0'), entryOf('scribe'));

    expect(error.mock.calls).toEqual([[expect.stringContaining('may be lost'), { session: 's1' }]]);
    expect(dropped.mock.calls).toEqual([[1, { kind: 'edit' }]]);
    await ledger.close();
  });

  test('keeps writing the others when one session cannot be written', async () => {
    const ledger = new LedgerStore(streams, reads, metrics, log);
    await client.set('loom:ledger:s1', 'no hash');
    await full();
    ledger.record('s1', ANCHOR, entryOf('scribe'));
    for (let at = 0; at < 150; at++) ledger.record('s2', `${at}`.padStart(64, '0'), entryOf('scribe'));
    await client.ping();
    await roomy();

    await until(async () => (await client.hlen('loom:ledger:s2')) === 150);
    await ledger.close();
  });

  test('asks again after a read that failed, and passes over an entry that is unreadable', async () => {
    const ledger = new LedgerStore(streams, reads, metrics, log);
    await client.hset('loom:ledger:s1', `${ANCHOR}:scribe`, JSON.stringify(entryOf('scribe')), `${ANCHOR}:bad`, '{');
    server.freeze();
    await ledger.load('s1', [ANCHOR], ['scribe']);
    expect(ledger.entriesAt('s1', ANCHOR)).toEqual([]);

    server.thaw();
    await until(async () => {
      await ledger.load('s1', [ANCHOR], ['scribe']);
      return ledger.entriesAt('s1', ANCHOR).length;
    });

    expect(ledger.entriesAt('s1', ANCHOR)).toEqual([entryOf('scribe')]);
    await ledger.close();
  });

  test('waits five times as long for any answer: what it misses is billed anew', async () => {
    const ledger = new LedgerStore(streams, new BoundedReads(streams, openMetrics(), 50), metrics, log);
    await ledger.load('s1', [ANCHOR], ['scribe']);
    server.freeze();

    const startedMs = performance.now();
    await ledger.load('s1', ['b'.repeat(64)], ['scribe']);

    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(249);
    server.thaw();
    await ledger.close();
  });
});

describe('SessionRecords', () => {
  const said = { profile: 'alpha', turns: [TURN] };
  const written = { profile: 'alpha', turns: JSON.stringify([TURN]) };

  test('remembers for other gateways, each thing as it was said last', async () => {
    const sessions = new SessionRecords(streams, reads, metrics, log);
    sessions.remember('s1', said);
    sessions.remember('s1', { profile: 'beta' });
    await until(async () => (await client.hget('loom:session:s1', 'profile')) === 'beta');

    expect(await new SessionRecords(streams, reads, metrics, log).find('s1')).toEqual({ ...said, profile: 'beta' });
  });

  test('serves from memory while Redis is away, and writes when it is back', async () => {
    const sessions = new SessionRecords(streams, reads, metrics, log);
    await server.kill();
    await until(() => !streams.connected);
    sessions.remember('s1', said);
    expect(await sessions.find('s1')).toEqual(said);

    await server.start();

    await until(async () => (await client.hlen('loom:session:s1')) === 2);
    expect(await client.hgetall('loom:session:s1')).toEqual(written);
  });

  test('writes all of it with the next word, when a Redis without room took nothing', async () => {
    const sessions = new SessionRecords(streams, reads, metrics, log);
    await full();
    sessions.remember('s1', said);
    await client.ping();
    await roomy();

    await until(async () => {
      sessions.remember('s1', said);
      return (await client.hlen('loom:session:s1')) === 2;
    });
  });

  test('lets what was said during a read stand', async () => {
    await client.hset('loom:session:s1', written);
    const sessions = new SessionRecords(streams, reads, metrics, log);

    const finding = sessions.find('s1');
    sessions.remember('s1', { profile: 'beta' });

    expect(await finding).toEqual({ ...said, profile: 'beta' });
    expect(await sessions.find('s1')).toEqual({ ...said, profile: 'beta' });
  });

  test('begins anew where the turns in Redis are none that it can read', async () => {
    await client.hset('loom:session:s1', { profile: 'alpha', turns: '[{"traceId":"short"}]' });

    expect(await new SessionRecords(streams, reads, metrics, log).find('s1')).toEqual({ profile: 'alpha' });
  });

  test('reads the turns of a session whose profile it knows already', async () => {
    await client.hset('loom:session:s1', written);
    const sessions = new SessionRecords(streams, reads, metrics, log);
    sessions.remember('s1', { profile: 'alpha' });

    expect(await sessions.find('s1')).toEqual(said);
  });

  test('knows in which turn it saw an agent of a session', () => {
    const sessions = new SessionRecords(streams, reads, metrics, log);
    sessions.rememberAgent('s1', 'a1', TURN);

    expect([
      sessions.turnOfAgent('s1', 'a1'),
      sessions.turnOfAgent('s1', 'a2'),
      sessions.turnOfAgent('s2', 'a1'),
    ]).toEqual([TURN, undefined, undefined]);
  });

  test('reads a session again that gave its place in memory to others', async () => {
    const sessions = new SessionRecords(streams, reads, metrics, log);
    await sessions.find('s1');
    sessions.remember('s1', said);
    await until(async () => (await client.hlen('loom:session:s1')) === 2);

    for (let at = 0; at < REMEMBERED_SESSIONS; at++) sessions.remember(`other-${at}`, { profile: 'beta' });

    expect(sessions.peek('s1')).toEqual({});
    expect(await sessions.find('s1')).toEqual(said);
  });

  test('keeps what Redis has not got of a session that gave its place in memory to others, and writes all of it', async () => {
    const sessions = new SessionRecords(streams, reads, metrics, log);
    await server.kill();
    await until(() => !streams.connected);
    sessions.remember('s0', said);

    for (let at = 1; at <= REMEMBERED_SESSIONS; at++) sessions.remember(`s${at}`, { profile: 'alpha' });
    sessions.remember('s0', { profile: 'beta' });

    expect([sessions.peek('s0'), await sessions.find('s0')]).toEqual([
      { ...said, profile: 'beta' },
      { ...said, profile: 'beta' },
    ]);
    await server.start();
    await until(async () => (await client.dbsize()) === REMEMBERED_SESSIONS + 1);
    expect(await client.hgetall('loom:session:s0')).toEqual({ ...written, profile: 'beta' });
  });

  test('counts, and says, what it has to forget before Redis got it', async () => {
    const warn = jest.spyOn(log, 'warn');
    const dropped = jest.spyOn(metrics.unwrittenDropped, 'add');
    const sessions = new SessionRecords(streams, reads, metrics, log);
    await server.kill();
    await until(() => !streams.connected);

    for (let at = 0; at <= MAX_UNWRITTEN; at++) sessions.remember(`s${at}`, { profile: 'alpha' });

    expect(warn.mock.calls).toEqual([[expect.stringContaining('is forgotten'), { session: 's0' }]]);
    expect(dropped.mock.calls).toEqual([[1, { kind: 'session' }]]);
    expect([sessions.peek('s0'), sessions.peek('s1')]).toEqual([{}, { profile: 'alpha' }]);
  });

  test('asks nothing of a Redis that is away, and writes what was said meanwhile when it is back', async () => {
    const sessions = new SessionRecords(streams, reads, metrics, log);
    await server.kill();
    await until(() => !streams.connected);
    const asked = jest.spyOn(streams.redis, 'pipeline');

    for (const profile of ['alpha', 'beta', 'alpha']) sessions.remember('s1', { profile, turns: [TURN] });

    expect(asked).not.toHaveBeenCalled();
    await server.start();
    await until(async () => (await client.hget('loom:session:s1', 'profile')) === 'alpha');
    expect(JSON.parse((await client.hget('loom:session:s1', 'turns')) ?? '')).toEqual([TURN]);
  });
});
