import { once } from 'node:events';
import http, { type RequestListener } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
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

  test('that break before an answer are never tried again from here: the upstream may have billed it', async () => {
    await send(newRequest());
    seen.length = 0;
    respond = ({ socket }) => void socket.resetAndDestroy();
    const wanted = newRequest();

    const answer = await send(wanted);

    expect([answer.status, answer.headers['x-loom-error'], answer.headers['x-should-retry']]).toEqual([
      502,
      'upstream_unreachable',
      'true',
    ]);
    expect(seen).toEqual(['POST /v1/messages']);
    expect((await ending(harness, wanted.session)).data).toMatchObject({ endReason: 'upstream_error' });
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

    const stopped = stopping.gateway.stop().then(() => 'stopped');
    const refusal = await exchange(stopping.gateway.url, newRequest()).catch(({ code }) => code);
    stream.end('data: 2\n\n');

    expect(refusal).toBe('ECONNREFUSED');
    expect((await answer).body.toString()).toBe('data: 1\n\ndata: 2\n\n');
    // The connection that the client keeps would hold it for 30 s.
    expect(await Promise.race([stopped, sleep(25_000, 'held', { ref: false })])).toBe('stopped');
    await stopping.close();
  });

  test('waits for no connection on which nothing was asked', async () => {
    const stopping = await startHarness({ LOOM_UPSTREAM_URL: upstream.url });
    const { hostname, port } = new URL(stopping.gateway.url);
    const silent = connect(Number(port), hostname).resume();
    await once(silent, 'connect');
    // Connections are taken in turn: after this one the gateway has that one, too.
    await exchange(stopping.gateway.url, newRequest());

    const closed = once(silent, 'close');
    await stopping.close();

    expect(await closed).toEqual([false]);
  });
});
