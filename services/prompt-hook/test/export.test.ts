import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { json } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { until } from '@loom/shared/testing/until.ts';
import { blockOf, INPUT, NODES, runHook } from './hook-process.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function receiver() {
  const collector = await startOtlpReceiver();
  closing.push(() => collector.close());
  return collector;
}

/** A server of our own, where the receiver tells too little; resolves to its URL. */
async function listen(server: Server | ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const spanIdOf = (traceparent = '') => traceparent.split('-')[2] ?? '';
const string = (key: string, stringValue: string) => ({ key, value: { stringValue } });

describe.each(NODES)('the hook, under node %s', (_, node) => {
  test('sends the root and its child, under the ids that the block names', async () => {
    const collector = await receiver();

    const { block } = blockOf(runHook(INPUT, { LOOM_HOOK_OTLP_ENDPOINT: collector.url }, { node }));

    expect(block.exports_spans).toBe(true);
    await until(() => collector.spans.length === 2);
    const { trace_id: traceId = '', traceparent } = block;
    const rootId = spanIdOf(traceparent);
    const common = { service: 'prompt-hook', traceId, kind: 1, linkedIds: [], status: 0 };
    const attributes = {
      'openinference.span.kind': 'CHAIN',
      'session.id': INPUT.session_id,
      'loom.turn.id': `${traceId}-${rootId}`,
    };
    expect(collector.spans).toMatchObject([
      {
        ...common,
        name: `user-turn:${INPUT.session_id}`,
        spanId: rootId,
        parentId: '',
        attributes: {
          ...attributes,
          'input.value': INPUT.prompt,
          'loom.prompt.id': INPUT.prompt_id,
          'loom.cwd': INPUT.cwd,
          'loom.transcript.path': INPUT.transcript_path,
        },
      },
      {
        ...common,
        name: 'collect-metadata',
        spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
        parentId: rootId,
        attributes,
      },
    ]);
  });

  test('answers and leaves while the collector still holds its sender', async () => {
    const held: Socket[] = [];
    const server = createServer({ pauseOnConnect: true }, (socket) => held.push(socket));
    closing.push(() => held.map((socket) => socket.destroy()));

    // Waits for the end of its output as well: the sender must not hold that.
    const run = runHook(INPUT, { LOOM_HOOK_OTLP_ENDPOINT: await listen(server) }, { node });

    expect(blockOf(run).block.exports_spans).toBe(true);
    await until(() => held.length === 1);
    expect(held[0]?.readyState).toBe('open');
  });

  test('does not mind a collector that is down', async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}`;

    const { block } = blockOf(runHook(INPUT, { LOOM_HOOK_OTLP_ENDPOINT: endpoint }, { node }));

    expect([block.prompt, block.exports_spans]).toEqual([INPUT.prompt, true]);
  });
});

describe('the hook', () => {
  test('sends whole spans: times, resource, and the headers that it was given', async () => {
    const requests: { request: IncomingMessage; body: unknown }[] = [];
    const server = createHttpServer(async (request, response) => {
      requests.push({ request, body: await json(request) });
      response.end('{}');
    });
    const environment = {
      LOOM_HOOK_OTLP_ENDPOINT: `${await listen(server)}/otlp/`,
      LOOM_HOOK_OTLP_HEADERS: 'authorization=Bearer%20abc, x-scope = loom ,nonsense,x-odd=100%',
      LOOM_PROFILE: 'alpha',
      LOOM_PROJECT: 'garden',
      TRACEPARENT: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
    };

    const { block } = blockOf(runHook({ prompt: 'Tea?' }, environment));

    await until(() => requests.length === 1);
    const { request, body } = requests[0] as (typeof requests)[number];
    const { method, url, headers } = request;
    expect([method, url, headers['content-type']]).toEqual(['POST', '/otlp/v1/traces', 'application/json']);
    expect([headers['authorization'], headers['x-scope'], headers['x-odd']]).toEqual(['Bearer abc', 'loom', '100%']);
    const { trace_id: traceId, traceparent, sent_at = '', collected_ms = 0 } = block;
    const rootId = spanIdOf(traceparent);
    const startedAt = Date.parse(sent_at);
    const common = { traceId, kind: 1, flags: 0, startTimeUnixNano: `${startedAt}000000` };
    const attributes = [string('openinference.span.kind', 'CHAIN'), string('loom.turn.id', `${traceId}-${rootId}`)];
    expect(body).toEqual({
      resourceSpans: [
        {
          resource: {
            attributes: [
              string('service.name', 'prompt-hook'),
              { key: 'host.name', value: { stringValue: expect.any(String) } },
              string('openinference.project.name', 'garden'),
            ],
          },
          scopeSpans: [
            {
              scope: { name: 'loom' },
              spans: [
                {
                  ...common,
                  spanId: rootId,
                  parentSpanId: '00f067aa0ba902b7',
                  name: 'user-turn',
                  endTimeUnixNano: expect.stringMatching(/^\d{19}$/),
                  attributes: [...attributes, string('input.value', 'Tea?'), string('loom.profile', 'alpha')],
                },
                {
                  ...common,
                  spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
                  parentSpanId: rootId,
                  name: 'collect-metadata',
                  endTimeUnixNano: `${BigInt(Math.round((startedAt + collected_ms) * 1_000)) * 1_000n}`,
                  attributes,
                },
              ],
            },
          ],
        },
      ],
    });
  });

  test('cuts the prompt on a span at 2 KB, between characters', async () => {
    const collector = await receiver();

    runHook({ ...INPUT, prompt: `a${'é'.repeat(3_000)}` }, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });

    await until(() => collector.spans.length === 2);
    expect(collector.spans[0]?.attributes['input.value']).toBe(`a${'é'.repeat(1_023)}`);
  });

  test.each(['none', 'metadata'])('puts no prompt on a span with LOOM_CAPTURE=%s', async (capture) => {
    const collector = await receiver();

    const run = runHook(INPUT, { LOOM_HOOK_OTLP_ENDPOINT: collector.url, LOOM_CAPTURE: capture });

    expect(blockOf(run).block.prompt).toBe(INPUT.prompt);
    await until(() => collector.spans.length === 2);
    expect(JSON.stringify(collector.spans)).not.toContain(INPUT.prompt);
  });

  test.each(['127.0.0.1:4318', 'grpc://127.0.0.1:4317', 'http://', ''])(
    'leaves its spans to Loom where the endpoint is %j',
    (endpoint) => {
      const { block } = blockOf(runHook(INPUT, { LOOM_HOOK_OTLP_ENDPOINT: endpoint }));

      expect('exports_spans' in block).toBe(false);
    },
  );

  test('takes its headers nowhere but to the endpoint', async () => {
    const elsewhere = await receiver();
    let isOver = false;
    const server = createHttpServer((request, response) => {
      request.socket.on('close', () => {
        isOver = true;
      });
      request.resume();
      response.writeHead(307, { location: `${elsewhere.url}/v1/traces` }).end();
    });

    runHook(INPUT, { LOOM_HOOK_OTLP_ENDPOINT: await listen(server), LOOM_HOOK_OTLP_HEADERS: 'authorization=abc' });

    await until(() => isOver);
    expect(elsewhere.requests).toEqual([]);
  });

  test('has a sender that gives up on a collector that never answers', async () => {
    const held: Socket[] = [];
    const server = createServer((socket) => held.push(socket.resume()));

    runHook(INPUT, { LOOM_HOOK_OTLP_ENDPOINT: await listen(server) });

    await until(() => held[0]?.readyState === 'closed' || held[0]?.readableEnded);
    held[0]?.destroy();
  });
});
