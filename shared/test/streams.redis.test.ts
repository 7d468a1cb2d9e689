import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { decodeEvent } from '@loom/shared/event.ts';
import { AppendError } from '@loom/shared/streams.ts';
import { contextOf } from '@loom/shared/telemetry.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { type Bed, openBed } from './fixtures/bed.ts';
import { spoolFull } from './fixtures/drafts.ts';

let server: RedisServer;
let bed: Bed;

beforeAll(async () => {
  server = await startRedis({ aof: true });
});
afterAll(() => server.close());
beforeEach(async () => {
  bed = await openBed(server);
});
afterEach(() => bed.close());

const refusal = (attempt: Promise<void>) =>
  attempt.then(
    () => undefined,
    (error: unknown) => error as AppendError,
  );

describe('publish', () => {
  test('appends the event with its envelope, in the trace that it was published in', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';

    await bed.streams.publish(spoolFull(3), contextOf(`00-${traceId}-00f067aa0ba902b7-01`, 'vendor=1'));

    expect(await bed.entries('alerts')).toEqual([
      {
        specversion: '1.0',
        id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
        source: '/loom/test/bed',
        type: 'spool.full',
        subject: 's1',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        datacontenttype: 'application/json',
        traceparent: expect.stringMatching(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`)),
        tracestate: 'vendor=1',
        data: '{"gateway":"g1","dropped":3}',
      },
    ]);
  });

  test('writes to the stream that the draft names', async () => {
    const data = { requestId: 'r1', rewriter: 'w', replica: 'w1', bodySha256: 'a'.repeat(64), edits: [] };

    await bed.publish({ type: 'edits.proposed', subject: 's1', stream: bed.streams.key('edits:g1'), data });

    expect((await bed.entries('edits:g1')).map(({ type }) => type)).toEqual(['edits.proposed']);
  });

  test('gives the event the id that the draft names', async () => {
    await bed.publish({ ...spoolFull(1), id: 'the first' });

    expect((await bed.entries('alerts')).map(({ id }) => id)).toEqual(['the first']);
  });

  test('is on its way when the call returns', async () => {
    const { stream } = bed.redis as unknown as { stream: Socket };
    const before = stream.bytesWritten;

    const published = bed.publish(spoolFull(1));

    expect(stream.bytesWritten).toBeGreaterThan(before);
    await published;
  });

  test('keeps about as many entries as the stream is meant to', async () => {
    const sealed = Array.from({ length: 200 }, (_, at) => ({
      ...bed.streams.seal(spoolFull(at + 1), ROOT_CONTEXT),
      keep: 1,
    }));

    await bed.streams.append(sealed);

    // `MAXLEN ~` drops whole nodes of 100 entries.
    expect(await bed.redis.xlen(bed.streams.key('alerts'))).toBeLessThanOrEqual(101);
  });

  test('keeps the id of an event that is appended again', async () => {
    const sealed = bed.streams.seal(spoolFull(1), ROOT_CONTEXT);

    await bed.streams.append([sealed]);
    await bed.streams.append([{ key: sealed.key, fields: sealed.fields, keep: sealed.keep }]);

    expect((await bed.entries('alerts')).map(({ id }) => id)).toEqual([sealed.event.id, sealed.event.id]);
    expect(decodeEvent(sealed.fields)).toEqual(sealed.event);
  });
});

/** What ioredis says when it neither sends nor queues a command: nothing was waited for. */
const AT_ONCE =
  /^expected Redis to take 1 entries, got Stream isn't writeable and enableOfflineQueue options is false$/;

describe('a Redis that does not take events', () => {
  test('that is away refuses at once, and takes them again when it is back', async () => {
    let ready = 0;
    bed.streams.onReady(() => {
      ready += 1;
    });
    await server.kill();
    await until(() => !bed.streams.connected);

    const error = await refusal(bed.publish(spoolFull(1)));

    expect(error).toBeInstanceOf(AppendError);
    expect(error?.message).toMatch(AT_ONCE);
    expect(error?.refused.map(({ key }) => key)).toEqual([bed.streams.key('alerts')]);

    await server.start();
    await until(() => ready === 2);
    await bed.publish(spoolFull(2));
    expect((await bed.entries('alerts')).map(({ data }) => data)).toEqual(['{"gateway":"g1","dropped":2}']);
  });

  test('that is frozen refuses before its connection is given up, and at once afterwards', async () => {
    server.freeze();
    try {
      const error = await refusal(bed.publish(spoolFull(1)));
      expect(error?.message).toBe('expected Redis to take 1 entries, got Command timed out');

      await until(() => !bed.streams.connected);
      expect((await refusal(bed.publish(spoolFull(2))))?.message).toMatch(AT_ONCE);
    } finally {
      server.thaw();
    }
    await until(() => bed.streams.connected);
    await bed.publish(spoolFull(3));
  });

  test('that is out of memory refuses, and nothing that was to happen together happens', async () => {
    await bed.redis.set(bed.streams.key('witness'), 'untouched');
    await bed.redis.config('SET', 'maxmemory', '1');
    try {
      const sealed = [bed.streams.seal(spoolFull(1), ROOT_CONTEXT), bed.streams.seal(spoolFull(2), ROOT_CONTEXT)];

      const error = await refusal(bed.streams.append(sealed, (multi) => multi.del(bed.streams.key('witness'))));

      expect(error?.message).toMatch(/^expected Redis to take 2 entries, got OOM command not allowed/);
    } finally {
      await bed.redis.config('SET', 'maxmemory', '0');
    }
    expect(await bed.redis.get(bed.streams.key('witness'))).toBe('untouched');
  });

  test('refuses only those entries that it refuses', async () => {
    await bed.redis.set(bed.streams.key('alerts'), 'not a stream');
    const sealed = bed.streams.seal(spoolFull(1), ROOT_CONTEXT);

    const error = await refusal(bed.streams.append([sealed, { ...sealed, key: bed.streams.key('other') }]));

    expect(error?.refused.map(({ key }) => key)).toEqual([bed.streams.key('alerts')]);
    expect(await bed.redis.xlen(bed.streams.key('other'))).toBe(1);
  });
});
