import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { NotAccepted, openSpanExporter, type SpanExporter } from '../../src/adapters/span-exporter.ts';
import { spansOf } from '../../src/core/spans.ts';
import { OPTIONS, ROOT, START, TRACE, turn, workingTurn } from '../sample-turn.ts';

const spans = spansOf(turn(), OPTIONS);
const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

function open(endpoint?: string): SpanExporter {
  const exporter = openSpanExporter({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
  opened.push(exporter);
  return exporter;
}

async function startReceiver() {
  const receiver = await startOtlpReceiver();
  opened.push(receiver);
  return receiver;
}

/** A collector that answers each request with the next status, the last one for ever. */
async function startCollector(
  ...statuses: number[]
): Promise<{ url: string; requests: () => number; headers: () => IncomingHttpHeaders }> {
  let requests = 0;
  let headers: IncomingHttpHeaders = {};
  const server: Server = createServer((request, response) => {
    headers = request.headers;
    request.resume().on('end', () => {
      response.writeHead(statuses[Math.min(requests, statuses.length - 1)] as number).end();
      requests += 1;
    });
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  opened.push({ close: async () => void server.close() });
  return { url: `http://127.0.0.1:${port}`, requests: () => requests, headers: () => headers };
}

describe('openSpanExporter', () => {
  test('has sent the spans as they are when it resolves', async () => {
    const receiver = await startReceiver();

    await open(receiver.url).export(spansOf(workingTurn(), OPTIONS));

    expect(receiver.requests).toMatchObject([{ path: '/v1/traces', encoding: 'gzip' }]);
    expect(receiver.spans).toHaveLength(10);
    const [root] = receiver.spans;
    expect({ ...root, attributes: root?.attributes['session.id'] }).toEqual({
      startedAt: START - 50,
      endedAt: START + 3_000,
      events: [],
      bytes: expect.any(Number),
      service: 'loom',
      name: 'user-turn:b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
      traceId: TRACE,
      spanId: ROOT,
      parentId: '',
      kind: 1,
      attributes: 'b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
      linkedIds: [],
      status: 0,
    });
    const task = receiver.spans.find(({ name }) => name === 'execute_tool Task');
    expect([task?.kind, task?.status, task?.linkedIds]).toEqual([1, 2, ['923277deb9d8a294', '3333333333333333']]);
  });

  test('sends at most 64 spans at a time', async () => {
    const receiver = await startReceiver();

    await open(receiver.url).export(new Array(130).fill(spans[0]));

    expect([receiver.requests.length, receiver.spans.length]).toEqual([3, 130]);
  });

  test('sends at most 8 MB at a time', async () => {
    const receiver = await startReceiver();
    const large = { ...spans[0], attributes: { text: 'x'.repeat(3_000_000) } } as (typeof spans)[number];

    await open(receiver.url).export([large, large, large]);

    expect([receiver.requests.length, receiver.spans.length]).toEqual([2, 3]);
  });

  test.each([400, 413])(
    'says of %i that these spans will never be taken, and does not send them again',
    async (status) => {
      const collector = await startCollector(status);

      await expect(open(collector.url).export(spans)).rejects.toThrow(NotAccepted);

      expect(collector.requests()).toBe(1);
    },
  );

  test('says of a collector that fails that it may be tried later', async () => {
    const collector = await startCollector(500);

    const failure = await open(collector.url)
      .export(spans)
      .catch((error: unknown) => error);

    expect(failure).not.toBeInstanceOf(NotAccepted);
    expect(String(failure)).toBe('Error: expected the collector to take 4 spans, got 500');
  });

  test('sends at a second try what the first one could not', async () => {
    const collector = await startCollector(503, 200);

    await open(collector.url).export(spans);

    expect(collector.requests()).toBe(2);
  });

  test('sends the headers that the environment asks for', async () => {
    const collector = await startCollector(200);
    process.env['OTEL_EXPORTER_OTLP_HEADERS'] = 'authorization=Bearer%20token';

    await open(collector.url).export(spans);

    delete process.env['OTEL_EXPORTER_OTLP_HEADERS'];
    expect(collector.headers().authorization).toBe('Bearer token');
  });

  test('sends nothing without an endpoint', async () => {
    await expect(open().export(spans)).resolves.toBeUndefined();
  });
});
