import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, describe, expect, test } from '@jest/globals';
import { hang } from '@loom/shared/testing/reply.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { startHarness } from '../harness.ts';
import { ending, newRequest } from './ending.ts';
import { exchange } from './wire.ts';

let onConnection: (socket: Socket) => void = () => {};
const byHand = createServer((socket) => onConnection(socket.on('error', () => {}))).listen(0, '127.0.0.1');
await once(byHand, 'listening');
const harness = await startHarness({ LOOM_UPSTREAM_URL: `http://127.0.0.1:${(byHand.address() as AddressInfo).port}` });
const paths = ['/v1/messages', '/v1/messages/count_tokens', '/v1/models'];

afterAll(async () => {
  await harness.close();
  byHand.close();
});

/** Answers the next connection's request with bytes and closes it. */
function say(bytes: string): void {
  onConnection = (socket) => socket.once('data', () => socket.end(bytes, 'latin1'));
}

function failure(code: string, type: string, got: string) {
  const message = `Loom: expected an answer from the upstream, got ${got}`;
  return { code, body: { type: 'error', error: { type, message } } };
}

async function fail(from = harness, path = '/v1/messages') {
  const wanted = newRequest();
  const { status, headers, body } = await exchange(from.gateway.url, { ...wanted, path });
  const told = {
    status,
    type: headers['content-type'],
    code: headers['x-loom-error'],
    body: JSON.parse(body.toString()),
  };
  if (path !== '/v1/messages') return { told };
  const { data } = await ending(from, wanted.session);
  const { endReason, errorType, status: upstreamStatus } = data as Record<string, unknown>;
  return { told, event: { endReason, errorType, status: upstreamStatus } };
}

const isJson = { type: 'application/json' };

describe('an upstream that cannot be understood', () => {
  test.each([
    ['is none', 'SSH-2.0-OpenSSH_9.2\r\n', 'HPE_INVALID_CONSTANT'],
    ['hangs up', '', 'ECONNRESET'],
    ['hangs up within the head', 'HTTP/1.1 200 OK\r\ncontent-le', 'ECONNRESET'],
    ['has no end of headers', `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`, 'HPE_HEADER_OVERFLOW'],
  ])('is a failure of the gateway’s, in the shape of the API: it %s', async (_, bytes, code) => {
    say(bytes);

    expect(await fail()).toEqual({
      told: { status: 502, ...isJson, ...failure('upstream_unreachable', 'api_error', code) },
      event: { endReason: 'upstream_error', errorType: code, status: null },
    });
  });

  test.each([
    ['a status that cannot be', 'HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\nok', 'ERR_HTTP_INVALID_STATUS_CODE'],
    ['a reason that cannot be', 'HTTP/1.1 200 O\x01K\r\ncontent-length: 2\r\n\r\nok', 'ERR_INVALID_CHAR'],
  ])('does not bring the gateway down: %s', async (_, bytes, code) => {
    say(bytes);

    const { told } = await fail();

    expect(told).toEqual({ status: 502, ...isJson, ...failure('upstream_unreachable', 'api_error', code) });
    say('HTTP/1.1 200 Fine by me\r\ncontent-length: 2\r\n\r\nok');
    const next = await exchange(harness.gateway.url, newRequest());
    expect([next.status, next.statusMessage, next.body.toString()]).toEqual([200, 'Fine by me', 'ok']);
  });

  test('may refuse a body before it has read it', async () => {
    const refusal = '{"type":"error","error":{"type":"request_too_large","message":"no"}}';
    say(`HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: ${refusal.length}\r\n\r\n${refusal}`);
    const body = Buffer.alloc(16 * 1_048_576, 0x20);

    for (const path of paths) {
      const answer = await exchange(harness.gateway.url, { path, body });

      expect([answer.status, answer.body.toString()]).toEqual([413, refusal]);
    }
  });
});

describe('an upstream that is not there', () => {
  test.each(paths)('is a failure of the gateway’s, in the shape of the API: %s', async (path) => {
    const gone = await startUpstream();
    await gone.close();
    const alone = await startHarness({ LOOM_UPSTREAM_URL: gone.url });

    const { told, event } = await fail(alone, path);
    await alone.close();

    expect(told).toEqual({ status: 502, ...isJson, ...failure('upstream_unreachable', 'api_error', 'ECONNREFUSED') });
    if (event) expect(event).toEqual({ endReason: 'upstream_error', errorType: 'ECONNREFUSED', status: null });
  });
});

describe('an upstream that says nothing', () => {
  test.each(paths)('is given up after LOOM_UPSTREAM_IDLE_MS, in the shape of the API: %s', async (path) => {
    const patient = await startHarness({ LOOM_UPSTREAM_IDLE_MS: '200' });
    patient.upstream.script = () => hang();

    const { told, event } = await fail(patient, path);
    const outcome = await patient.upstream.requests[0]?.closedByClient;
    await patient.close();

    expect(told).toEqual({ status: 504, ...isJson, ...failure('upstream_timeout', 'timeout_error', 'silence') });
    if (event) expect(event).toEqual({ endReason: 'timeout', errorType: 'timeout', status: null });
    expect(outcome).toBeGreaterThan(0);
  });
});
