import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { sendFailure } from '../../src/adapters/api-error.ts';
import { BodyReader, BodyRefused } from '../../src/adapters/body-reader.ts';
import { createHttpServer, type HttpServerOptions } from '../../src/adapters/http-server.ts';

let server: Server;

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** A server with little patience that answers with what it read. */
async function start(options: HttpServerOptions & { idleMs?: number }): Promise<number> {
  const counter = { add: () => {} };
  const bodies = new BodyReader({
    ...{ maxBytes: 1_000, maxHeldBytes: 10_000, idleMs: options.idleMs },
    metrics: { bytesHeld: counter, bodiesRefused: counter } as never,
  });
  server = createHttpServer(async (request, response) => {
    try {
      response.end((await bodies.read(request, response)).bytes);
    } catch (error) {
      if (error instanceof BodyRefused) sendFailure(response, error.failure);
    }
  }, options);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** All that comes after bytes which are followed by nothing, until the server closes the connection. */
async function answerTo(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  if (bytes) socket.write(bytes);
  return Buffer.concat(await socket.toArray()).toString();
}

const IMPATIENT = { headMs: 100, checkMs: 20 };
const HEAD = 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n';

describe('a client that takes for ever', () => {
  test.each([
    ['with its first line', 'POST /v1/mess'],
    ['with its headers', 'POST / HTTP/1.1\r\nhost: a\r\nx-a: '],
    ['with the next request', `${HEAD}123456789POST /`],
  ])('is told so, and its connection ends: %s', async (_, bytes) => {
    const answer = await answerTo(await start(IMPATIENT), bytes);

    expect(answer).toMatch(/HTTP\/1\.1 408 Request Timeout\r\n[\s\S]*x-loom-error: bad_request\r\nconnection: close/);
  });

  test('to say anything at all gets nothing: it has asked for nothing', async () => {
    expect(await answerTo(await start(IMPATIENT), '')).toBe('');
  });

  test('with its body is told so, and its connection ends', async () => {
    const answer = await answerTo(await start({ idleMs: 100 }), `${HEAD}1234`);

    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n[\s\S]*x-loom-error: body_stalled\r\n/);
    expect(answer).toMatch(/connection: close/i);
  });
});

test('a body that comes byte by byte may take longer than a head', async () => {
  const port = await start({ ...IMPATIENT, idleMs: 10_000 });
  const socket = connect(port, '127.0.0.1');
  socket.write(HEAD);
  const impatient = answerTo(port, 'POST /');
  for (const byte of '12345678') socket.write(byte);
  // By now a head would have been given up.
  await impatient;
  socket.write('9');

  expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*123456789$/);
  socket.destroy();
});

test('a connection that is one too many is closed, and those that are there go on', async () => {
  const port = await start({ maxConnections: 1 });
  const first = connect(port, '127.0.0.1');
  await once(first, 'connect');

  const second = await answerTo(port, HEAD).catch(({ code }) => code);
  first.write(`${HEAD}123456789`);

  expect(['', 'ECONNRESET']).toContain(second);
  expect(String((await once(first, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 OK/);
  first.destroy();
});
