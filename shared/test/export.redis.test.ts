import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { contextOf } from '@loom/shared/telemetry.ts';
import { type OtlpReceiver, startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { type Bed, openBed } from './fixtures/bed.ts';
import { spoolFull } from './fixtures/drafts.ts';
import { startTally, type TallyProcess } from './fixtures/tally-process.ts';

let server: RedisServer;
let bed: Bed;
let collector: OtlpReceiver;
let tallying: TallyProcess | undefined;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());

async function open(): Promise<void> {
  bed = await openBed(server);
  collector = await startOtlpReceiver();
}

async function close(): Promise<void> {
  await tallying?.end('SIGKILL');
  await collector.close();
  bed.close();
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

/** Lets a service handle one event that was published in the trace, and drains it. */
async function handleOne(environment: Record<string, string>): Promise<string> {
  const sealed = bed.streams.seal(spoolFull(1), contextOf(`00-${TRACE}-00f067aa0ba902b7-00`));
  await bed.streams.append([sealed]);
  tallying = startTally({ REDIS_URL: server.url, LOOM_KEY_PREFIX: bed.prefix, TALLY_REPLICA: 't1', ...environment });
  await until(async () => (await bed.redis.xlen(bed.streams.key('alerts'))) === 2);
  await tallying.end('SIGTERM');
  return sealed.event.traceparent;
}

describe('a service with an endpoint, in one event', () => {
  let traceparent: string;
  beforeAll(async () => {
    await open();
    traceparent = await handleOne({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: 'tally-test',
    });
  });
  afterAll(close);

  test('exports one tree: the event, its handling, and what followed', async () => {
    const stream = bed.streams.key('alerts');
    const [, next] = await bed.entries('alerts');

    const process = collector.spans.find(({ name }) => name === `process ${stream}`);
    const send = collector.spans.find(({ name }) => name === `send ${stream}`);
    const eventSpanId = traceparent.split('-')[2];

    expect(process).toMatchObject({ service: 'tally-test', traceId: TRACE, parentId: eventSpanId, kind: 5, status: 0 });
    expect(process?.linkedIds).toEqual([eventSpanId]);
    expect(process?.attributes).toMatchObject({
      'messaging.system': 'redis',
      'messaging.destination.name': stream,
      'messaging.consumer.group.name': 'tally',
      'session.id': 's1',
    });
    expect(send).toMatchObject({
      service: 'tally-test',
      traceId: TRACE,
      parentId: process?.spanId,
      kind: 4,
      status: 0,
    });
    expect(send?.attributes['messaging.message.id']).toMatch(/^\d+-\d+$/);
    expect(next?.['traceparent']).toBe(`00-${TRACE}-${send?.spanId}-01`);
  });

  test('has a span for what its handler asked of Redis, and none for polling and publishing', () => {
    const process = collector.spans.find(({ name }) => name.startsWith('process '));
    const commands = collector.spans.filter(({ kind }) => kind === 3);
    expect(
      commands.map(({ name, parentId, attributes }) => ({ name, parentId, said: attributes['db.query.text'] })),
    ).toEqual([{ name: 'rpush', parentId: process?.spanId, said: 'rpush' }]);
    expect(collector.spans).toHaveLength(3);
  });

  test('exports its log lines with the span that they were written in', () => {
    const process = collector.spans.find(({ name }) => name.startsWith('process '));
    expect(collector.logs).toContainEqual({
      ...{ service: 'tally-test', body: 'tallied', attributes: expect.anything() },
      ...{ traceId: TRACE, spanId: process?.spanId },
    });
    expect(tallying?.lines().find(({ message }) => message === 'tallied')).toMatchObject({
      trace_id: TRACE,
      span_id: process?.spanId,
    });
  });

  test('sends what it measured, at its end at the latest', () => {
    const stream = bed.streams.key('alerts');
    const of = { 'messaging.destination.name': stream, 'messaging.consumer.group.name': 'tally' };
    const points = collector.metrics.filter(({ name }) => /^(messaging|loom|process)/.test(name));
    expect(points).toContainEqual({
      ...{ service: 'tally-test', name: 'messaging.process.duration', unit: 's' },
      ...{ attributes: of, value: expect.any(Number), count: 1 },
    });
    expect(points.find(({ name }) => name === 'messaging.client.sent.messages')).toMatchObject({
      attributes: { 'messaging.destination.name': stream },
      value: 1,
    });
    expect(points.find(({ name }) => name === 'process.memory.usage')?.value).toBeGreaterThan(1_000_000);
    expect(points.find(({ name }) => name === 'loom.telemetry.dropped')?.value).toBe(0);
  });

  test('sends everything compressed', () => {
    expect(new Set(collector.requests.map(({ path, encoding }) => `${path} ${encoding}`))).toEqual(
      new Set(['/v1/traces gzip', '/v1/logs gzip', '/v1/metrics gzip']),
    );
  });
});

describe('a service with an endpoint', () => {
  beforeEach(open);
  afterEach(close);

  test('has no span for the acknowledgement of an event from which nothing follows', async () => {
    await bed.publish(spoolFull(1));
    const settings = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, TALLY_REPLICA: 't1', TALLY_MODE: 'silent' };
    tallying = startTally({ REDIS_URL: server.url, LOOM_KEY_PREFIX: bed.prefix, ...settings });
    await until(() => tallying?.lines().some(({ message }) => message === 'tallied'));
    await tallying.end('SIGTERM');

    expect(await bed.pending('alerts', 'tally')).toBe(0);
    expect(collector.spans.map(({ name }) => name)).toEqual(['rpush', `process ${bed.streams.key('alerts')}`]);
  });

  test('says how far it is behind, while it runs', async () => {
    const settings = { OTEL_METRIC_EXPORT_INTERVAL: '100', OTEL_METRIC_EXPORT_TIMEOUT: '100', TALLY_REPLICA: 't1' };
    const environment = { REDIS_URL: server.url, LOOM_KEY_PREFIX: bed.prefix, ...settings };
    tallying = startTally({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...environment });

    const behind = () => collector.metrics.filter(({ name }) => /^loom\.stream\.(lag|pending)$/.test(name));
    await until(() => behind().length >= 2);
    expect(new Set(behind().map(({ value }) => value))).toEqual(new Set([0]));
  });

  test('sends no metrics where it is told so', async () => {
    await handleOne({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_METRICS_EXPORTER: 'none' });

    expect(collector.requests.map(({ path }) => path)).toContain('/v1/traces');
    expect(collector.metrics).toEqual([]);
  });
});

describe('a service that exports nothing', () => {
  beforeEach(open);
  afterEach(close);

  test.each([
    ['without an endpoint', () => ({})],
    ['with the SDK switched off', () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SDK_DISABLED: 'true' })],
  ])('%s still passes the trace on', async (_, environment) => {
    const traceparent = await handleOne(environment());

    const [, next] = await bed.entries('alerts');
    expect(next?.['traceparent']).toBe(traceparent);
    expect(tallying?.lines().find(({ message }) => message === 'tallied')).toMatchObject({ trace_id: TRACE });
    expect(collector.requests).toEqual([]);
  });
});

describe('a service whose collector is away', () => {
  beforeEach(open);
  afterEach(close);

  test('drains all the same', async () => {
    await collector.close();

    await handleOne({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });

    expect(tallying?.child.exitCode).toBe(0);
    collector = await startOtlpReceiver();
  });
});
