import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { startHarness } from '../harness.ts';
import { exchange } from '../transport/wire.ts';
import { OK, startRawUpstream } from './raw-upstream.ts';

const MEGABYTE = 1_048_576;
const upstream = await startRawUpstream();
const harness = await startHarness({
  LOOM_UPSTREAM_URL: upstream.url,
  LOOM_MAX_BODY_BYTES: String(2 * MEGABYTE),
  LOOM_MAX_HELD_BYTES: String(4 * MEGABYTE),
});
const port = Number(new URL(harness.gateway.url).port);
const sockets: Socket[] = [];

afterAll(async () => {
  await harness.close();
  await upstream.close();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  upstream.respond = (socket) => void socket.write(OK);
  upstream.requests.length = 0;
  await until(async () => (await held()) === 0);
});

const held = () => harness.metric('loom_bodies_held');
const refused = (reason: string) => harness.metric('loom_bodies_refused_total', { reason });

/** Begins a body that never ends. */
function begin(bytes: number, path = '/v1/messages'): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  sockets.push(socket);
  socket.write(`POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: ${2 * MEGABYTE}\r\n\r\n`);
  socket.write(Buffer.alloc(bytes, 0x20));
  return socket;
}

const large = Buffer.from(JSON.stringify({ messages: [], padding: 'x'.repeat(1.5 * MEGABYTE) }));

describe('bodies that together are too large', () => {
  test.each([
    ['begun and never ended', () => [begin(1.5 * MEGABYTE), begin(1.5 * MEGABYTE)]],
    ['of counts', () => [begin(1.5 * MEGABYTE, '/v1/messages/count_tokens'), begin(1.5 * MEGABYTE)]],
  ])('have the next one refused for a moment, in the shape of the API: %s', async (_, fill) => {
    const before = await refused('overloaded');
    fill();
    await until(async () => (await held()) >= 3 * MEGABYTE);

    const { status, headers, body } = await exchange(harness.gateway.url, { body: large });
    const small = await exchange(harness.gateway.url, { body: '{"messages":[]}' });

    expect([status, headers['x-loom-error'], headers['x-should-retry'], headers['retry-after']]).toEqual([
      ...[503, 'overloaded', 'true', '1'],
    ]);
    expect(JSON.parse(body.toString())).toEqual({
      type: 'error',
      error: {
        type: 'api_error',
        message: `Loom: expected at most ${4 * MEGABYTE} bytes of requests at once, got more; LOOM_MAX_HELD_BYTES sets the limit`,
      },
    });
    expect([small.status, (await refused('overloaded')) - before]).toEqual([200, 1]);
  });

  test('count until they are answered, and leave room again', async () => {
    const answer = Promise.withResolvers<void>();
    upstream.respond = async (socket) => {
      await answer.promise;
      socket.write(OK);
    };
    const first = [exchange(harness.gateway.url, { body: large }), exchange(harness.gateway.url, { body: large })];
    await until(() => upstream.requests.length >= 2);

    const third = await exchange(harness.gateway.url, { body: large });
    answer.resolve();
    const statuses = (await Promise.all(first)).map(({ status }) => status);
    await until(async () => (await held()) === 0);
    const fourth = await exchange(harness.gateway.url, { body: large });

    expect([third.status, statuses, fourth.status]).toEqual([503, [200, 200], 200]);
  });

  test('are no other requests’ business: those are streamed', async () => {
    begin(1.5 * MEGABYTE);
    begin(1.5 * MEGABYTE);
    await until(async () => (await held()) >= 3 * MEGABYTE);

    const { status } = await exchange(harness.gateway.url, { path: '/v1/files', body: large });

    expect(status).toBe(200);
  });

  test('are also many tiny pieces: what they cost is counted', async () => {
    const pieces = Array.from({ length: 20_000 }, () => '1\r\nx\r\n').join('');
    const socket = connect(port, '127.0.0.1');
    socket.write(`POST /v1/messages HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n`);
    socket.write(`${pieces}0\r\n\r\n`);

    expect(Buffer.concat(await socket.toArray()).toString()).toMatch(/^HTTP\/1\.1 503 /);
  });
});

test('a body that says it is too long is refused before it comes', async () => {
  const socket = connect(port, '127.0.0.1');
  socket.write('POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n');

  const [answer] = await once(socket, 'data');

  socket.destroy();
  expect(String(answer)).toMatch(/^HTTP\/1\.1 413 [\s\S]*x-loom-error: body_too_large/);
});
