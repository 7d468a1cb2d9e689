import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, test } from '@jest/globals';
import { startHarness } from '../harness.ts';

const harness = await startHarness();
afterAll(() => harness.close());

/** Sends bytes on a connection of their own and returns all that comes back. */
async function say(bytes: string): Promise<string> {
  const socket = connect(Number(new URL(harness.gateway.url).port), '127.0.0.1');
  await once(socket, 'connect');
  socket.write(bytes);
  return text(socket);
}

describe('bytes that are no HTTP request', () => {
  test.each([
    ['a bad header line', 'GET / HTTP/1.1\r\nhost: a\r\n bad\r\n\r\n', 400],
    ['no request line', 'what?\r\n\r\n', 400],
    ['too many headers', `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`, 431],
  ])('get a clear answer in the shape of the API: %s', async (_, bytes, status) => {
    const [head = '', body = ''] = (await say(bytes)).split('\r\n\r\n');

    expect(head.split('\r\n')[0]).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(head).toContain('x-loom-error: bad_request');
    expect(JSON.parse(body)).toEqual({
      type: 'error',
      error: {
        type: 'invalid_request_error',
        message: expect.stringMatching(/^Loom: expected an HTTP request, got H/),
      },
    });
  });

  test('do not include an expectation that only the upstream can judge', async () => {
    const answer = await say('GET /v1/models HTTP/1.1\r\nhost: a\r\nexpect: tea\r\nconnection: close\r\n\r\n');

    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(harness.upstream.requests.map(({ url }) => url)).toEqual(['/v1/models']);
  });
});
