import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type Draft, decodeEvent } from '@loom/shared/event.ts';
import { Streams } from '@loom/shared/streams.ts';
import { EventReader } from '@loom/shared/testing/event-reader.ts';
import { recordSpans } from '@loom/shared/testing/recorded-spans.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import type { Redis } from 'ioredis';
import { EventPublisher } from '../../src/adapters/event-publisher.ts';
import { openMetrics } from '../../src/adapters/metrics.ts';
import { Spool } from '../../src/adapters/spool.ts';
import { log } from '../quiet-log.ts';

let server: RedisServer;
let client: Redis;
let events: EventReader;
let streams: Streams;
let folder: string;

beforeEach(async () => {
  server = await startRedis();
  client = server.client();
  events = new EventReader(client);
  folder = await mkdtemp(join(tmpdir(), 'loom-spool-'));
  streams = new Streams({ url: server.url, prefix: 'loom', source: '/test', log });
});
afterEach(async () => {
  streams.close();
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

function open(maxBytes = 1_000_000, into = folder) {
  const spool = new Spool({ folder: into, maxBytes, log });
  return { spool, publisher: new EventPublisher({ streams, spool, metrics: openMetrics(), log, gateway: 'g1' }) };
}

const bypass = (requestId: string): Draft => ({
  type: 'rewriter.bypassed',
  subject: 's1',
  data: { requestId, rewriter: 'w', outcome: 'late', waitedMs: 1 },
});

/** What is on the stream, as a consumer takes it: each id once. */
async function published(): Promise<string[]> {
  const once = new Map((await events.on('alerts')).map((event) => [event.id, event]));
  return [...once.values()].map(({ type, data }) =>
    type === 'rewriter.bypassed' ? data.requestId : `${type} ${JSON.stringify(data)}`,
  );
}

describe('EventPublisher', () => {
  test('keeps the order of what was under way when Redis froze and died, and of what came after', async () => {
    const { spool, publisher } = open();
    await until(() => streams.connected);
    const [, pid] = /process_id:(\d+)/.exec(await client.info('server')) ?? [];
    server.freeze();
    publisher.publish(bypass('r1'), ROOT_CONTEXT);
    const startedMs = performance.now();
    await until(() => performance.now() - startedMs > 200);
    publisher.publish(bypass('r2'), ROOT_CONTEXT);
    await until(() => spool.pending > 0);
    publisher.publishNow(bypass('r3'), ROOT_CONTEXT);
    // Not thawed before, as `kill` does: it must not get to answer.
    process.kill(Number(pid), 'SIGKILL');
    await server.kill();

    await server.start();

    await until(async () => (await published()).length === 3);
    expect(await published()).toEqual(['r1', 'r2', 'r3']);
    await publisher.close();
  });

  test('publishes now what waits of the same parent, in order, and leaves to others the making of theirs', async () => {
    const { publisher } = open();
    await until(() => streams.connected);
    const [ours, theirs] = [ROOT_CONTEXT.setValue(Symbol(), 1), ROOT_CONTEXT.setValue(Symbol(), 2)];
    const made: string[] = [];
    const fact = (id: string) => () => {
      made.push(id);
      return bypass(id);
    };
    publisher.publish(fact('theirs'), theirs);
    publisher.publish(fact('ours'), ours);

    publisher.publishNow(bypass('ours, now'), ours);

    expect(made).toEqual(['ours']);
    await until(async () => (await published()).length === 3);
    expect(await published()).toEqual(['ours', 'ours, now', 'theirs']);
    await publisher.close();
  });

  test('leaves out what cannot be made, and publishes the rest', async () => {
    const { publisher } = open();
    await until(() => streams.connected);
    const broken = () => {
      throw new TypeError('a bug');
    };
    publisher.publish(broken, ROOT_CONTEXT);
    publisher.publish(bypass('r1'), broken);
    publisher.publish(bypass('r2'), ROOT_CONTEXT);

    await until(async () => (await published()).length > 0);
    expect(await published()).toEqual(['r2']);
    await publisher.close();
  });

  test('ends the span of an event that goes to the spool: whoever reads it descends from that', async () => {
    const recorded = recordSpans();
    try {
      await server.kill();
      await until(() => !streams.connected);
      const { publisher } = open();
      publisher.publishNow(bypass('r1'), ROOT_CONTEXT);
      await until(() => recorded.spanIds().length === 1);
      await server.start();
      await until(async () => (await published()).length === 1);

      const [[, fields = []] = []] = await client.xrange('loom:alerts', '-', '+');
      expect(recorded.spanIds()).toEqual([decodeEvent(fields).traceparent.split('-')[2]]);
      await publisher.close();
    } finally {
      recorded.stop();
    }
  });

  test('drops of what may be lost only that which Redis refused', async () => {
    const { publisher } = open();
    await until(() => streams.connected);
    await server.client().set('loom:taken', 'no stream');

    const outcomes = await Promise.allSettled([
      publisher.publishOrDrop(bypass('r1'), ROOT_CONTEXT),
      publisher.publishOrDrop({ ...bypass('r2'), stream: 'loom:taken' }, ROOT_CONTEXT),
      publisher.publishOrDrop(bypass('r3'), ROOT_CONTEXT),
    ]);

    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await published()).toEqual(['r1', 'r3']);
    await publisher.close();
  });

  test('gives up what Redis will never take, and publishes what stands behind it', async () => {
    const { spool, publisher } = open();
    await until(() => streams.connected);
    await client.set('loom:elsewhere', 'no stream');
    publisher.publish({ ...bypass('r1'), stream: 'loom:elsewhere' }, ROOT_CONTEXT);
    publisher.publishNow(bypass('r2'), ROOT_CONTEXT);

    await until(async () => (await published()).length === 2);
    expect(await published()).toEqual(['r2', 'spool.full {"gateway":"g1","dropped":1}']);
    expect(spool.pending).toBe(0);
    await publisher.close();
  });

  test('publishes what a dead process left before anything of its own', async () => {
    await server.kill();
    const fields = ['requestId', 'r0'];
    await writeFile(
      join(folder, `${2 ** 22 + 1}.jsonl`),
      `${JSON.stringify({ key: 'loom:alerts', fields, keep: 9 })}\n`,
    );
    const { publisher } = open();
    publisher.publish(bypass('r1'), ROOT_CONTEXT);

    await server.start();

    await until(async () => (await client.xlen('loom:alerts')) === 2);
    expect((await client.xrange('loom:alerts', '-', '+', 'COUNT', 1)).map(([, first]) => first)).toEqual([fields]);
    await publisher.close();
  });

  test.each([
    { when: 'has no room', maxBytes: 0, place: '' },
    { when: 'cannot be written', maxBytes: 1_000_000, place: 'taken' },
  ])('says how many events it dropped because the spool $when', async ({ maxBytes, place }) => {
    await writeFile(join(folder, 'taken'), 'a file where the folder should be');
    await server.kill();
    await until(() => !streams.connected);
    const { publisher } = open(maxBytes, join(folder, place));
    for (const id of ['r1', 'r2', 'r3']) publisher.publish(bypass(id), ROOT_CONTEXT);

    await server.start();

    await until(async () => (await published()).length === 1);
    expect(await published()).toEqual(['spool.full {"gateway":"g1","dropped":3}']);
    await publisher.close();
  });
});
