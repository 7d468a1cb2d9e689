import http, { type RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startHarness } from '../harness.ts';
import { ending, newRequest } from './ending.ts';
import { exchange, listen, type WireRequest } from './wire.ts';

const sockets = new Set<Socket>();
const seen: string[] = [];
let respond: RequestListener;
const upstream = await listen((request, response) => {
  sockets.add(request.socket);
  seen.push(`${request.method} ${request.url}`);
  respond(request, response);
});
const harness = await startHarness({ LOOM_UPSTREAM_URL: upstream.url });
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

const ok: RequestListener = (request, response) => {
  request.resume().once('end', () => response.end('ok'));
};

/** Serves one request a connection; the next one on it comes too late. */
const served = new WeakSet<Socket>();
function closingAfterOne(close: (socket: Socket) => void): RequestListener {
  return (request, response) => {
    if (served.has(request.socket)) return close(request.socket);
    served.add(request.socket);
    ok(request, response);
  };
}

afterAll(async () => {
  agent.destroy();
  await harness.close();
  await upstream.close();
});

beforeEach(async () => {
  respond = ok;
  upstream.server.closeAllConnections();
  await exchange(harness.gateway.url, { method: 'GET', path: '/v1/warm-up' });
  sockets.clear();
  seen.length = 0;
});

const send = (wanted: WireRequest) => exchange(harness.gateway.url, { agent, ...wanted });

describe('connections to the upstream', () => {
  test('are kept: 200 requests in turn need one', async () => {
    for (let round = 0; round < 50; round++) {
      await send(newRequest());
      await send({ body: [Buffer.from('{"in":'), Buffer.from('"chunks"}')] });
      await send({ method: 'GET', path: '/v1/models' });
      await send({ method: 'PUT', path: '/v1/files', body: 'x' });
    }

    expect([seen.length, sockets.size]).toEqual([200, 1]);
  });

  test.each([
    ['resets', (socket: Socket) => void socket.resetAndDestroy()],
    ['closes', (socket: Socket) => void socket.destroy()],
  ])('that the upstream %s while it is idle are not the client’s trouble', async (_, close) => {
    respond = closingAfterOne(close);
    await send(newRequest());
    seen.length = 0;

    for (const wanted of [newRequest(), { method: 'GET', path: '/v1/models' }, newRequest()]) {
      const answer = await send(wanted);

      expect([answer.status, answer.body.toString()]).toEqual([200, 'ok']);
    }

    const messages = 'POST /v1/messages';
    expect(seen).toEqual([messages, messages, 'GET /v1/models', 'GET /v1/models', messages, messages]);
  });

  test('are all given up when one of them is found closed', async () => {
    const together = Promise.withResolvers<void>();
    respond = (request, response) => {
      if (seen.length === 3) together.resolve();
      void together.promise.then(() => ok(request, response));
    };
    await Promise.all([1, 2, 3].map(() => exchange(harness.gateway.url, newRequest())));
    const kept = new Set(sockets);
    respond = (request, response) => (kept.has(request.socket) ? request.socket.destroy() : ok(request, response));

    const answer = await send(newRequest());

    expect([kept.size, answer.status, seen.length]).toEqual([3, 200, 5]);
  });

  test('that break before an answer are tried once more, and not again', async () => {
    respond = (request) => request.socket.destroy();
    const wanted = newRequest();

    const answer = await send(wanted);

    expect([answer.status, answer.headers['x-loom-error']]).toEqual([502, 'upstream_unreachable']);
    expect(seen).toEqual(['POST /v1/messages', 'POST /v1/messages']);
    expect((await ending(harness, wanted.session)).data).toMatchObject({ endReason: 'upstream_error' });
  });

  test.each([
    ['once the answer has begun', newRequest(), (socket: Socket) => void socket.end('HTTP/1.1 2')],
    [
      'with a body that was streamed',
      { method: 'PUT', path: '/v1/files', body: 'x' },
      (socket: Socket) => void socket.end(),
    ],
    [
      'after a second, which is time to work',
      newRequest(),
      (socket: Socket) => void setTimeout(() => socket.end(), 1_100),
    ],
  ])('that break are not tried again %s', async (_, wanted, close) => {
    respond = ({ socket }) => close(socket);

    const answer = await send(wanted);

    expect([answer.status, answer.headers['x-loom-error'], seen.length]).toEqual([502, 'upstream_unreachable', 1]);
  });

  test('that are new and break are not tried again', async () => {
    upstream.server.closeAllConnections();
    respond = ({ socket }) => void socket.end();

    const answer = await send(newRequest());

    expect([answer.status, answer.headers['x-loom-error'], seen.length]).toEqual([502, 'upstream_unreachable', 1]);
  });
});

describe('a gateway that stops', () => {
  test('finishes the stream under way and takes no new connection', async () => {
    const stopping = await startHarness({ LOOM_UPSTREAM_URL: upstream.url });
    const streaming = Promise.withResolvers<http.ServerResponse>();
    respond = (_, response) => {
      response.write('data: 1\n\n');
      streaming.resolve(response);
    };
    const answer = exchange(stopping.gateway.url, { ...newRequest(), agent });
    const stream = await streaming.promise;

    const stopped = stopping.gateway.stop().then(() => performance.now());
    const refusal = await exchange(stopping.gateway.url, newRequest()).catch(({ code }) => code);
    stream.end('data: 2\n\n');

    expect(refusal).toBe('ECONNREFUSED');
    expect((await answer).body.toString()).toBe('data: 1\n\ndata: 2\n\n');
    const endedMs = performance.now();
    expect((await stopped) - endedMs).toBeLessThan(2_000);
    await stopping.close();
  });
});
