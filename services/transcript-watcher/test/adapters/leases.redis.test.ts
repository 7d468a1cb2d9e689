import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { LeaseQueue } from '../../src/adapters/lease-queue.ts';
import { Leases } from '../../src/adapters/leases.ts';

const server = await startRedis();
const redis = server.client();
const quiet = createLog({ service: 'test', level: 'error' });
const open: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((replica) => replica.stop()));
});
beforeEach(() => redis.flushall());
afterAll(() => server.close());

/** A replica that does what it is told with the sessions that it is given. */
function replica(hold: (session: string, signal: AbortSignal) => Promise<void>, concurrency = 10) {
  const lines: string[] = [];
  const log = createLog({ service: 'test', level: 'info' });
  for (const transport of log.transports) transport.silent = true;
  log.on('data', ({ level, message, session, attempt }) => {
    if (level !== 'debug') lines.push([level, message, session, attempt].join(' ').trim());
  });
  const streams = new Streams({ url: server.url, prefix: 't', source: '/loom/transcript-watcher/test', log });
  const queue = new LeaseQueue(streams, log);
  const leases = new Leases({ streams, log, concurrency, hold });
  leases.start();
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= leases.stop().then(() => streams.close());
    return stopped;
  };
  const one = {
    queue,
    lines,
    stop,
    ready: () => until(() => streams.connected),
  };
  open.push(one);
  return one;
}

/** Holds until it is told to let go; notes what it holds. */
function keeper(held: string[]) {
  return async (session: string, signal: AbortSignal) => {
    held.push(session);
    await once(signal, 'abort');
    held.splice(held.indexOf(session), 1);
  };
}

describe('Leases', () => {
  test('give a session to one replica, and to another one when the first stops', async () => {
    const [first, second]: [string[], string[]] = [[], []];
    const one = replica(keeper(first));
    await one.ready();
    await one.queue.want('s1', false);
    await until(() => first.length === 1);
    const two = replica(keeper(second));
    await two.ready();

    await one.stop();

    await until(() => second.length === 1);
    expect({ first, second }).toEqual({ first: [], second: ['s1'] });
    expect(one.lines).toEqual(['info lease handed over s1']);
  });

  test('hold as many sessions as there is room for, the others when there is room', async () => {
    const held: string[] = [];
    const done = new AbortController();
    const one = replica(async (session) => {
      held.push(session);
      if (session === 's1') await once(done.signal, 'abort');
    }, 1);
    await one.ready();
    await one.queue.want('s1', false);
    await until(() => held.length === 1);
    await one.queue.want('s2', false);
    expect(await redis.llen('t:bull:watch:wait')).toBe(1);

    done.abort();

    await until(() => held.length === 2);
    expect(held).toEqual(['s1', 's2']);
  });

  test('try a session again whose watch fails, and say so', async () => {
    let attempts = 0;
    const one = replica(async (_, signal) => {
      attempts += 1;
      if (attempts < 2) throw new TypeError('a fault of its own');
      await once(signal, 'abort');
    });
    await one.ready();
    await one.queue.want('s1', false);

    await until(() => attempts === 2);
    expect(one.lines).toEqual(['error a watch failed, and is tried again s1 1']);
    expect(await redis.llen('t:bull:watch:active')).toBe(1);
  });

  test('give a session once more that was asked for while it was held', async () => {
    const ends: (() => void)[] = [];
    const one = replica(() => new Promise<void>((resolve) => ends.push(resolve)));
    await one.ready();
    await one.queue.want('s1', false);
    await until(() => ends.length === 1);
    await one.queue.want('s1', false);

    ends[0]?.();

    await until(() => ends.length === 2);
    ends[1]?.();
    await until(async () => (await redis.exists('t:bull:watch:de:s1')) === 0);
    expect(ends).toHaveLength(2);
    // Nothing is kept of a lease that ended, for each would stay for ever.
    const kept = (await redis.keys('t:bull:watch:*')).map((key) => key.slice('t:bull:watch:'.length));
    expect(['events', 'id', 'marker', 'meta', 'stalled-check']).toEqual(expect.arrayContaining(kept));
  });

  test('end what was lost with a Redis that came back empty, and not what is asked for anew', async () => {
    const signals: AbortSignal[] = [];
    const one = replica(async (_, signal) => {
      signals.push(signal);
      await once(signal, 'abort');
    });
    await one.ready();
    await one.queue.want('s1', false);
    await until(() => signals.length === 1);

    await redis.flushall();
    await one.queue.want('s2', false);
    await until(() => signals.length === 2);

    await until(() => signals[0]?.aborted === true);
    expect(signals.map(({ reason }) => reason)).toEqual(['lost', undefined]);
    expect(one.lines).toEqual(['warn lease lost s1']);
  });

  test('wait for a Redis that is full, without asking it all the time, and say so once', async () => {
    const held: string[] = [];
    const asking = new Streams({ url: server.url, prefix: 't', source: '/loom/test', log: quiet });
    await until(() => asking.connected);
    await new LeaseQueue(asking, quiet).want('s1', false);
    asking.close();
    await redis.config('SET', 'maxmemory', '1');
    await redis.config('RESETSTAT');
    const one = replica(keeper(held));
    const refusals = async () => Number(/errorstat_OOM:count=(\d+)/.exec(await redis.info('errorstats'))?.[1] ?? 0);
    await until(async () => (await refusals()) >= 3);

    const before = await refusals();
    await delay(1_000);
    expect((await refusals()) - before).toBeLessThan(50);
    await redis.config('SET', 'maxmemory', '0');

    await until(() => held.length === 1);
    expect(one.lines).toEqual([expect.stringContaining('warn trouble with the leases')]);
  });
});
