import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Draft, InvalidEventError, type LoomEvent } from '@loom/shared/event.ts';
import { type Service, type ServiceOptions, startService } from '@loom/shared/service.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { type Bed, openBed, quiet } from './fixtures/bed.ts';
import { requestReceived, spoolFull } from './fixtures/drafts.ts';

let server: RedisServer;
let bed: Bed;
let services: Service[];

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  bed = await openBed(server);
  services = [];
});
afterEach(async () => {
  await Promise.all(services.map((service) => service.stop()));
  bed.close();
});

type Changes = Partial<ServiceOptions> & Pick<ServiceOptions, 'on'>;

async function start(changes: Changes): Promise<Service> {
  const replica = changes.replica ?? 'echo-1';
  const service = await startService({ name: 'echo', streams: bed.open(replica), log: quiet, replica, ...changes });
  services.push(service);
  return service;
}

const none: Draft[] = [];
const COUNTED = { handled: 0, ignored: 0, skippedStale: 0, failed: 0, deadLettered: 0, trimmed: 0 };
const droppedOf = (event: LoomEvent<'spool.full'>) => event.data.dropped;

describe('a service', () => {
  test('handles what was published before it was there, publishes what its handler returns, and acknowledges', async () => {
    await bed.publish(spoolFull(1));
    const bypassed: Draft = {
      type: 'rewriter.bypassed',
      subject: 's1',
      data: { requestId: 'r1', rewriter: 'w', outcome: 'late', waitedMs: 3 },
    };

    const service = await start({ on: { 'spool.full': () => [bypassed] } });

    await until(() => service.counters.handled === 1 && service.counters.ignored === 1);
    expect((await bed.entries('alerts')).map(({ type, source, data }) => ({ type, source, data }))).toEqual([
      { type: 'spool.full', source: '/loom/test/bed', data: '{"gateway":"g1","dropped":1}' },
      {
        type: 'rewriter.bypassed',
        source: '/loom/test/echo-1',
        data: '{"requestId":"r1","rewriter":"w","outcome":"late","waitedMs":3}',
      },
    ]);
    expect(await bed.pending('alerts', 'echo')).toBe(0);
  });

  test('that answers no questions handles a request that was told of before it was there', async () => {
    await bed.publish(requestReceived(bed.streams.key('edits:g1')));
    const seen: string[] = [];

    await start({
      on: {
        'request.received': ({ data }) => {
          seen.push(data.requestId);
          return none;
        },
      },
    });

    await until(() => seen.length > 0);
    expect(seen).toEqual(['r1']);
  });

  test('gives an event to one of its replicas, and to each other service', async () => {
    const given: string[] = [];
    const note = (who: string) => (event: LoomEvent<'spool.full'>) => {
      given.push(`${who} ${droppedOf(event)}`);
      return none;
    };
    await start({ replica: 'echo-1', on: { 'spool.full': note('echo') } });
    await start({ replica: 'echo-2', on: { 'spool.full': note('echo') } });
    await start({ name: 'scribe', replica: 'scribe-1', on: { 'spool.full': note('scribe') } });

    for (let dropped = 1; dropped <= 5; dropped += 1) await bed.publish(spoolFull(dropped));

    await until(() => given.length >= 10);
    expect(given.toSorted()).toEqual(['echo', 'scribe'].flatMap((who) => [1, 2, 3, 4, 5].map((n) => `${who} ${n}`)));
  });

  test('is given an event again when its handler threw', async () => {
    const deliveries: number[] = [];
    const service = await start({
      claimIdleMs: 50,
      on: {
        'spool.full': (_, delivery) => {
          deliveries.push(delivery.deliveries);
          if (delivery.deliveries < 3) throw new Error('not yet');
          return none;
        },
      },
    });

    await bed.publish(spoolFull(1));

    await until(() => service.counters.handled === 1);
    expect(deliveries).toEqual([1, 2, 3]);
    expect(service.counters).toEqual({ ...COUNTED, handled: 1, failed: 2 });
    expect(await bed.entries('dead-letters')).toEqual([]);
  });

  test('gives an event up after five deliveries, with the reason and without a credential', async () => {
    const service = await start({
      claimIdleMs: 20,
      on: {
        'spool.full': () => {
          throw new Error('refused for sk-ant-api03-secret');
        },
      },
    });

    await bed.publish(spoolFull(1));

    await until(() => service.counters.deadLettered === 1);
    const [original] = await bed.entries('alerts');
    const [[entry]] = (await bed.redis.xrange(bed.streams.key('alerts'), '-', '+')) as [[string, string[]]];
    expect(await bed.entries('dead-letters')).toEqual([
      {
        ...original,
        group: 'echo',
        deliveries: '5',
        reason: 'refused for [credential]',
        origin: bed.streams.key('alerts'),
        originid: entry,
      },
    ]);
    expect(service.counters).toEqual({ ...COUNTED, failed: 5, deadLettered: 1 });
    expect(await bed.pending('alerts', 'echo')).toBe(0);
  });

  test('gives an entry up at once that is no event, and one that its handler calls invalid', async () => {
    const service = await start({
      on: {
        'spool.full': () => {
          throw new InvalidEventError('expected sense, got none');
        },
      },
    });
    const { fields } = bed.streams.seal(spoolFull(1), ROOT_CONTEXT);
    const key = bed.streams.key('alerts');

    await bed.redis.xadd(key, '*', 'garbage', 'yes');
    await bed.redis.xadd(key, '*', ...fields.with(1, '2.0'));
    await bed.redis.xadd(key, '*', ...fields.with(-1, '{"gateway":'));
    await bed.redis.xadd(key, '*', ...fields);

    await until(() => service.counters.deadLettered === 4);
    const letters = await bed.entries('dead-letters');
    expect(letters.map(({ deliveries, reason }) => `${deliveries} ${reason}`).toSorted()).toEqual([
      expect.stringMatching(/^1 expected JSON in the data of spool\.full/),
      expect.stringMatching(/^1 expected a CloudEvents 1\.0 entry, got specversion: .*1\.0/),
      expect.stringMatching(/^1 expected a CloudEvents 1\.0 entry, got specversion: .*id: /),
      '1 expected sense, got none',
    ]);
    expect(letters.map(({ garbage }) => garbage)).toContain('yes');
    expect(await bed.pending('alerts', 'echo')).toBe(0);
  });

  test('passes over an event of a type that is newer than itself', async () => {
    const { fields } = bed.streams.seal(spoolFull(1), ROOT_CONTEXT);
    const service = await start({ on: { 'spool.full': () => none } });

    await bed.redis.xadd(bed.streams.key('alerts'), '*', ...fields.with(fields.indexOf('spool.full'), 'tea.served'));

    await until(() => service.counters.ignored === 1);
    expect(await bed.entries('dead-letters')).toEqual([]);
    expect(await bed.pending('alerts', 'echo')).toBe(0);
  });

  test('does not handle again what killed five consumers', async () => {
    const key = bed.streams.key('alerts');
    await bed.publish(spoolFull(1));
    await bed.redis.xgroup('CREATE', key, 'echo', '0');
    await bed.redis.xreadgroup('GROUP', 'echo', 'dead', 'COUNT', 1, 'STREAMS', key, '>');
    const [[entry]] = (await bed.redis.xrange(key, '-', '+')) as [[string, string[]]];
    await bed.redis.xclaim(key, 'echo', 'dead', 0, entry, 'RETRYCOUNT', 5);

    const service = await start({ claimIdleMs: 20, on: { 'spool.full': () => none } });

    await until(() => service.counters.deadLettered === 1);
    const letters = await bed.entries('dead-letters');
    expect(letters.map(({ deliveries, reason }) => ({ deliveries, reason }))).toEqual([
      { deliveries: '5', reason: '5 deliveries came to no end' },
    ]);
    expect(service.counters).toEqual({ ...COUNTED, deadLettered: 1 });
  });

  test('keeps an event whose outcome Redis will never take, as a dead letter', async () => {
    await bed.redis.set(bed.streams.key('turns'), 'not a stream');
    const prompt = {
      turn: 't',
      traceId: 'a',
      rootSpanId: 'b',
      origin: 'hook',
      profile: 'alpha',
      prompt: null,
    } as const;
    const started: Draft = {
      type: 'turn.started',
      subject: 's1',
      data: { ...prompt, startedAt: '2026-01-01T00:00:00Z' },
    };
    const service = await start({ on: { 'spool.full': () => [started] } });

    await bed.publish(spoolFull(1));

    await until(() => service.counters.deadLettered === 1);
    const letters = await bed.entries('dead-letters');
    expect(letters.map(({ data, deliveries }) => [data, deliveries])).toEqual([['{"gateway":"g1","dropped":1}', '1']]);
    expect(letters[0]?.['reason']).toMatch(/^expected Redis to take 1 entries, got WRONGTYPE/);
    expect(await bed.pending('alerts', 'echo')).toBe(0);
  });

  test('counts pending entries that were trimmed away, tells of them, and lets go of them', async () => {
    const key = bed.streams.key('alerts');
    await bed.publish(spoolFull(1));
    const [[id]] = (await bed.redis.xrange(key, '-', '+')) as [[string, string[]]];
    await bed.redis.xgroup('CREATE', key, 'echo', '0');
    await bed.redis.xreadgroup('GROUP', 'echo', 'dead', 'COUNT', 1, 'STREAMS', key, '>');
    await bed.redis.xtrim(key, 'MAXLEN', 0);

    const service = await start({ claimIdleMs: 20, on: { 'spool.full': () => none } });

    // It reads of the gap, too, which is none of its business.
    await until(() => service.counters.trimmed === 1 && service.counters.ignored === 1);
    expect(service.counters).toEqual({ ...COUNTED, trimmed: 1, ignored: 1 });
    expect(await bed.pending('alerts', 'echo')).toBe(0);
    const gaps = (await bed.entries('alerts')).filter(({ type }) => type === 'stream.gap');
    expect(gaps.map(({ data }) => JSON.parse(data as string))).toEqual([
      { stream: 'alerts', group: 'echo', state: 'pending', from: id, to: id, lost: 1 },
    ]);
  });

  test('takes up what it was given itself before it was restarted', async () => {
    const key = bed.streams.key('alerts');
    await bed.publish(spoolFull(7));
    await bed.redis.xgroup('CREATE', key, 'echo', '0');
    await bed.redis.xreadgroup('GROUP', 'echo', 'echo-1', 'COUNT', 1, 'STREAMS', key, '>');
    const given: [number, number][] = [];

    await start({
      on: {
        'spool.full': (event, { deliveries }) => {
          given.push([droppedOf(event), deliveries]);
          return none;
        },
      },
    });

    await until(() => given.length === 1);
    expect(given).toEqual([[7, 2]]);
  });

  test('goes on after its streams were deleted', async () => {
    const given: number[] = [];
    const service = await start({
      on: {
        'spool.full': (event) => {
          given.push(droppedOf(event));
          return none;
        },
      },
    });
    await bed.publish(spoolFull(1));
    await until(() => service.counters.handled === 1);

    await bed.redis.flushall();
    await bed.publish(spoolFull(2));

    await until(() => service.counters.handled === 2);
    expect(given).toEqual([1, 2]);
  });

  test('handles at most 32 events at a time', async () => {
    let running = 0;
    let most = 0;
    const gate = Promise.withResolvers<void>();
    const service = await start({
      on: {
        'spool.full': async () => {
          running += 1;
          most = Math.max(most, running);
          await gate.promise;
          running -= 1;
          return none;
        },
      },
    });

    for (let dropped = 1; dropped <= 100; dropped += 1) await bed.publish(spoolFull(dropped));
    await until(() => running === 32);
    gate.resolve();

    await until(() => service.counters.handled === 100);
    expect(most).toBe(32);
  });

  test('says that it is there, with its counters, as long as it is', async () => {
    const key = bed.streams.key('service:echo:echo-1');
    const service = await start({ on: { 'spool.full': () => none } });

    expect(JSON.parse((await bed.redis.get(key)) ?? '')).toEqual({
      since: expect.any(String),
      memoryBytes: expect.any(Number),
      ...COUNTED,
    });
    const lapsesInS = await bed.redis.ttl(key);
    expect(lapsesInS).toBeGreaterThan(0);
    expect(lapsesInS).toBeLessThanOrEqual(10);
    expect(await bed.redis.exists(bed.streams.key('rewriters'))).toBe(0);

    await service.stop();
    expect(await bed.redis.exists(key)).toBe(0);
  });

  test('refuses to start without a handler', async () => {
    await expect(startService({ name: 'echo', streams: bed.streams, log: quiet, on: {} })).rejects.toThrow(
      'expected a handler in `on` of echo, got none',
    );
  });
});
