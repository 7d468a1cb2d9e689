import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { editsProposed } from '@loom/shared/proposal.ts';
import type { RewriterOptions } from '@loom/shared/rewriter.ts';
import { type Service, type ServiceOptions, startService } from '@loom/shared/service.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { keepAnnouncing } from '../src/announcing.ts';
import { type Bed, openBed, quiet } from './fixtures/bed.ts';
import { BODY_SHA256, requestReceived, spoolFull } from './fixtures/drafts.ts';

let server: RedisServer;
let bed: Bed;
let services: Service[];
let replies: string;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  bed = await openBed(server);
  replies = bed.streams.key('edits:g1');
  services = [];
});
afterEach(async () => {
  await Promise.all(services.map((service) => service.stop()));
  bed.close();
});

const ECHO: RewriterOptions = {
  order: 10,
  holdMs: 30_000,
  whenAbsent: 'forward',
  profiles: ['*'],
  wants: [{ on: 'human' }],
  view: ['last'],
};
const EDIT = { op: 'add', path: '/messages/0/content/-', value: { type: 'text', text: 'tea' } } as const;
const answers: ServiceOptions['on'] = { 'request.received': ({ data }) => [editsProposed(data, [EDIT])] };

async function start(changes: Partial<ServiceOptions> = {}): Promise<Service> {
  const replica = changes.replica ?? 'echo-1';
  const options = { name: 'echo', streams: bed.open(replica), log: quiet, replica, rewriter: ECHO, on: answers };
  const service = await startService({ ...options, ...changes });
  services.push(service);
  return service;
}

const answer = { requestId: 'r1', rewriter: 'echo', replica: 'echo-1', bodySha256: BODY_SHA256, edits: [EDIT] };
const replied = async () =>
  (await bed.entries('edits:g1')).map(({ type, subject, data }) => ({ type, subject, data: JSON.parse(data ?? '') }));

describe('a rewriter', () => {
  test('answers a request that awaits it, on the stream that the request names', async () => {
    const service = await start();

    await bed.publish(requestReceived(replies));

    await until(() => service.counters.handled === 1);
    expect(await replied()).toEqual([{ type: 'edits.proposed', subject: 's1', data: answer }]);
    expect(await bed.pending('requests', 'echo')).toBe(0);
  });

  test('ignores a request that awaits others', async () => {
    const service = await start();

    await bed.publish(requestReceived(replies, { awaited: [{ rewriter: 'other', holdMs: 9_000, labels: [] }] }));
    await bed.publish(requestReceived(replies, { requestId: 'r2' }));

    await until(() => service.counters.handled === 1 && service.counters.ignored === 1);
    expect(await replied()).toEqual([{ type: 'edits.proposed', subject: 's1', data: { ...answer, requestId: 'r2' } }]);
  });

  test('skips a request whose deadline has passed, by the clock of Redis', async () => {
    const service = await start();
    const { fields, key } = bed.streams.seal(requestReceived(replies), ROOT_CONTEXT);
    const [seconds] = await bed.redis.time();

    await bed.redis.xadd(key, `${(Number(seconds) - 31) * 1_000}-0`, ...fields);
    await bed.redis.xadd(key, `${(Number(seconds) - 1) * 1_000}-0`, ...fields);

    await until(() => service.counters.handled === 1 && service.counters.skippedStale === 1);
    expect(await replied()).toEqual([{ type: 'edits.proposed', subject: 's1', data: answer }]);
    expect(await bed.pending('requests', 'echo')).toBe(0);
  });

  test('does not answer what was asked before its group existed', async () => {
    await bed.publish(requestReceived(replies));
    const service = await start();

    await bed.publish(requestReceived(replies, { requestId: 'r2' }));

    await until(() => service.counters.handled === 1);
    expect((await replied()).map(({ data }) => data.requestId)).toEqual(['r2']);
  });

  test('answers with the error when its handler throws, so that nobody waits', async () => {
    const service = await start({
      on: {
        'request.received': () => {
          throw new Error('no prompt for alpha');
        },
      },
    });

    await bed.publish(requestReceived(replies));

    await until(() => service.counters.failed === 1);
    await until(async () => (await bed.pending('requests', 'echo')) === 0);
    expect(await replied()).toEqual([
      { type: 'edits.proposed', subject: 's1', data: { ...answer, edits: [], error: 'no prompt for alpha' } },
    ]);
  });

  test('is handed the other events it handles like any service', async () => {
    const deliveries: number[] = [];
    const service = await start({
      claimIdleMs: 20,
      on: {
        'spool.full': (_, delivery) => {
          deliveries.push(delivery.deliveries);
          if (delivery.deliveries === 1) throw new Error('not yet');
          return [];
        },
      },
    });

    await bed.publish(spoolFull(1));

    await until(() => service.counters.handled === 1);
    expect(deliveries).toEqual([1, 2]);
  });
});

describe('the announcement of a rewriter', () => {
  const declared = async () => JSON.parse((await bed.redis.hget(bed.streams.key('rewriters'), 'echo')) ?? 'null');
  const alive = () => bed.redis.get(bed.streams.key('rewriter:echo'));

  test('is there when the start resolves, and only the declaration stays after the stop', async () => {
    const service = await start();
    expect(await declared()).toEqual({ name: 'echo', ...ECHO });
    expect(await alive()).toBe('echo-1');

    await service.stop();
    expect(await declared()).toEqual({ name: 'echo', ...ECHO });
    expect(await alive()).toBeNull();
  });

  test('is renewed, with what the rewriter asks for by then', async () => {
    let profiles = ['alpha'];
    await start({ rewriter: () => ({ ...ECHO, profiles }) });
    const key = bed.streams.key('rewriter:echo');
    profiles = ['alpha', 'beta'];
    await bed.redis.expire(key, 1_000);

    await until(async () => (await bed.redis.ttl(key)) <= 10);
    expect(await declared()).toEqual({ name: 'echo', ...ECHO, profiles: ['alpha', 'beta'] });
  });

  test('stays as it was when the rewriter has no valid one any more', async () => {
    let { holdMs } = ECHO;
    await start({ rewriter: () => ({ ...ECHO, holdMs }) });
    holdMs = -1;
    await bed.redis.del(bed.streams.key('rewriters'));

    await until(async () => (await declared()) !== null);
    expect(await declared()).toEqual({ name: 'echo', ...ECHO });
  });

  test('stays when another replica is at work, and goes with the last', async () => {
    const first = await start({ replica: 'echo-1' });
    const second = await start({ replica: 'echo-2' });
    await bed.redis.set(bed.streams.key('rewriter:echo'), 'echo-1', 'EX', 10);

    await first.stop();
    expect(await alive()).toEqual(expect.stringMatching(/^echo-[12]$/));

    await until(async () => (await alive()) === 'echo-2');
    await second.stop();
    expect(await alive()).toBeNull();
  });

  test('comes back with a Redis that lost it', async () => {
    await start();

    await server.stop();
    await server.start();

    await until(async () => (await alive()) === 'echo-1');
    expect(await declared()).toEqual({ name: 'echo', ...ECHO });
  });

  test('is made as soon as Redis is back, however far off the next one is', async () => {
    const stopping = new AbortController();
    let announced = 0;
    const ended = keepAnnouncing(
      { streams: bed.streams, log: quiet, stopping: stopping.signal, everyMs: 3_600_000 },
      async () => {
        announced += 1;
      },
    );

    await server.stop();
    await server.start();

    await until(() => announced === 1);
    stopping.abort();
    await ended;
  });

  test('that no gateway would accept stops the start', async () => {
    await expect(start({ rewriter: { ...ECHO, order: -1 } })).rejects.toThrow('order');
  });
});
