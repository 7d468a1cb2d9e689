import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { hang, json, raw, sse } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startHarness } from '../harness.ts';
import { ending, newRequest } from './ending.ts';
import { exchange, open } from './wire.ts';

const harness = await startHarness();
const { upstream, client: redis } = harness;

afterAll(() => harness.close());

afterEach(async () => {
  await until(async () => (await harness.metric('loom_exchanges_active')) === 0);
  upstream.requests.length = 0;
});

const usage = { input_tokens: 12, cache_creation_input_tokens: 3, cache_read_input_tokens: 4 };

describe('a client that leaves', () => {
  test.each(['/v1/messages', '/v1/files'])('before the answer takes the upstream along: %s', async (path) => {
    upstream.script = () => hang();
    const wanted = newRequest();
    const { request, answered } = open(harness.gateway.url, { ...wanted, path });
    const failure = answered.catch((error) => error.code);
    await upstream.waitFor(1);

    request.destroy();

    await upstream.requests[0]?.closedByClient;
    expect(upstream.requests[0]?.outcome).toBe('client_closed');
    expect(await failure).toBe('ECONNRESET');
    if (path !== '/v1/messages') return;
    expect((await ending(harness, wanted.session)).data).toMatchObject({
      ...{ endReason: 'client_closed', errorType: null, status: null, firstByteMs: null },
      ...{ bytes: 0, usage: null, text: '', upstreamRequestId: null },
    });
  });

  test.each([undefined, 'gzip'] as const)(
    'in the middle of a stream takes the upstream along: %s',
    async (encoding) => {
      const reply = sse({ text: 'This is never said.', usage, ...(encoding && { encoding }) });
      const begun = reply.chunks.slice(0, -2) as Buffer[];
      upstream.script = () => ({ ...reply, chunks: begun, cutAfter: 'silence' });
      const wanted = newRequest();
      const { request, answered } = open(harness.gateway.url, wanted);
      const answer = await answered;
      answer.on('error', () => {});
      const size = Buffer.concat(begun).length;
      let received = 0;
      answer.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      await until(() => received === size);
      expect(await harness.metric('loom_exchanges_active')).toBe(1);

      request.destroy();

      await upstream.requests[0]?.closedByClient;
      expect(upstream.requests[0]?.outcome).toBe('client_closed');
      expect((await ending(harness, wanted.session)).data).toMatchObject({
        ...{ endReason: 'client_closed', errorType: null, status: 200, bytes: size, stopReason: null },
        ...{ usage: { ...usage, output_tokens: 1 }, responseId: 'msg_01Scripted', upstreamRequestId: 'req_01Scripted' },
      });
    },
  );

  test('while edits are awaited causes no request upstream', async () => {
    const declaration = {
      ...{ name: 'mute', order: 1, holdMs: 15_000, whenAbsent: 'forward', profiles: ['*'], view: [] },
      wants: [{ on: 'every' }],
    };
    await redis.hset('loom:rewriters', 'mute', JSON.stringify(declaration));
    await redis.set('loom:rewriter:mute', '1');
    await harness.restartGateway();
    const wanted = newRequest(['x-loom-profile', 'alpha', 'x-claude-code-request-class', 'main']);
    const { request, answered } = open(harness.gateway.url, wanted);
    const failure = answered.catch((error) => error.code);
    const received = await until(async () => {
      const events = await harness.events('requests', 'request.received');
      return events.find(({ subject }) => subject === wanted.session);
    });

    request.destroy();

    expect(received?.data.awaited).toEqual([{ rewriter: 'mute', holdMs: 15_000, labels: ['every'] }]);
    expect(await failure).toBe('ECONNRESET');
    expect((await ending(harness, wanted.session)).data).toMatchObject({
      endReason: 'client_closed',
      status: null,
      // Whose edits were to go with it learns that it never went.
      anchor: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    await redis.del('loom:rewriters', 'loom:rewriter:mute');
    await harness.restartGateway();
    upstream.script = () => json();
    const next = newRequest();
    await exchange(harness.gateway.url, next);
    expect(upstream.requests).toHaveLength(1);
    await harness.eventOf('captures', 'exchange.captured', next.session);
    // What nobody was sent was not said.
    const captured = (await harness.events('captures', 'exchange.captured')).map(({ subject }) => subject);
    expect(captured).not.toContain(wanted.session);
  });

  test.each(['/v1/messages', '/v1/files'])('in the middle of its body costs nothing: %s', async (path) => {
    upstream.script = () => raw({});
    const socket = connect(Number(new URL(harness.gateway.url).port), '127.0.0.1');
    socket.write(`POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{"model":`);
    await once(socket, 'connect');
    socket.resetAndDestroy();

    const answer = await exchange(harness.gateway.url, { ...newRequest(), path });

    expect([answer.status, upstream.requests.length]).toEqual([200, 1]);
  });

  test('after the last event has its answer complete', async () => {
    const reply = sse({ text: 'All of it.' });
    upstream.script = () => ({ ...reply, cutAfter: 'silence' });
    const wanted = newRequest();
    const { request, answered } = open(harness.gateway.url, wanted);
    const answer = await answered;
    answer.on('error', () => {});
    let received = '';
    answer.on('data', (chunk: Buffer) => {
      received += chunk;
    });
    await until(() => received.includes('message_stop'));

    request.destroy();

    await upstream.requests[0]?.closedByClient;
    expect(await ending(harness, wanted.session)).toMatchObject({ type: 'response.completed' });
  });
});
