import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import { raw } from '@loom/shared/testing/reply.ts';
import fc from 'fast-check';
import { startHarness } from '../harness.ts';
import { exchange } from './wire.ts';

const MEGABYTE = 1_048_576;
const LIMIT = 64 * MEGABYTE;

const harness = await startHarness();
const { upstream } = harness;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
upstream.script = () => raw({ status: 200 });

afterAll(async () => {
  agent.destroy();
  await harness.close();
});

const sha256 = (body: Uint8Array) => createHash('sha256').update(body).digest('hex');

/** Sends a body through the gateway; the hash of what the upstream got. */
async function hashUpstream(
  body: Uint8Array | Uint8Array[],
  path = '/v1/messages',
  headers: string[] = [],
): Promise<string> {
  await exchange(harness.gateway.url, { path, body, headers: ['content-type', 'application/json', ...headers], agent });
  return upstream.requests.at(-1)?.sha256 ?? '';
}

const user = (content: string) => `{"model":"m","messages":[{"role":"user","content":${content}}]}`;
const bodies: [name: string, body: string | Buffer][] = [
  ['keys in an odd order', '{"stream":true,"messages":[{"content":"hi","role":"user"}],"system":"s","model":"m"}'],
  ['1.0, 1e2 and integers beyond 2^53', user('[{"type":"tool_result","n":1.0,"m":1e2,"big":12345678901234567890}]')],
  ['escapes that need not be', user('"\\u0041\\/\\u00e9 caf\\u00E9 \\ud83d\\ude00"')],
  ['raw and escaped control characters', user('"\\n\\t\\u0000\\u007f\u007f"')],
  ['duplicate keys', '{"messages":[],"model":"a","model":"b","messages":[{"role":"user","content":"x"}]}'],
  ['lone surrogates', user('"\\ud800 and \\udfff"')],
  ['white space before, within and after', ' \r\n\t{ "model" : "m" , "messages" : [ ] }\n\n  '],
  ['a byte order mark', '\ufeff{"model":"m","messages":[]}'],
  ['invalid JSON', '{"messages":[{"role":"user","content":"hi"}'],
  ['JSON that is no object', '[1, "two", null]'],
  ['text behind the JSON', `${user('"hi"')} trailing`],
  ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x00, 0x80, 0x22, 0x7d])],
  [
    'unknown fields and block types',
    '{"messages":[{"role":"user","content":[{"type":"new_block","x":[]}]}],"beta_field":{}}',
  ],
];

describe('a request body without a match', () => {
  test.each(bodies)('reaches the upstream byte for byte: %s', async (_, body) => {
    const bytes = Buffer.from(body);

    expect(await hashUpstream(bytes)).toBe(sha256(bytes));
    expect(await hashUpstream(bytes, '/v1/messages/count_tokens')).toBe(sha256(bytes));
    expect(await hashUpstream(bytes, '/v1/files?beta=true')).toBe(sha256(bytes));
  });

  test('is empty upstream when the client sends none', async () => {
    const answer = await exchange(harness.gateway.url, { agent });

    expect([answer.status, upstream.requests.at(-1)?.body.length]).toEqual([200, 0]);
  });

  test.each([
    ['a Messages request', Buffer.from(user(JSON.stringify('x'.repeat(32 * MEGABYTE))))],
    ['no JSON at all', Buffer.alloc(32 * MEGABYTE, 0x5b)],
  ])('may have 32 MB: %s', async (_, body) => {
    expect(await hashUpstream(body)).toBe(sha256(body));
  });

  test('may come in pieces of unknown number', async () => {
    const body = Buffer.from(user('"in pieces"'));
    const pieces = [body.subarray(0, 7), body.subarray(7, 8), body.subarray(8)];

    expect(await hashUpstream(pieces)).toBe(sha256(body));
    expect(upstream.requests.at(-1)?.headers['content-length']).toBe(String(body.length));
    expect(await hashUpstream(pieces, '/v1/files')).toBe(sha256(body));
  });

  test('passes compressed as it is, with its header', async () => {
    const body = gzipSync(user('"compressed"'));

    expect(await hashUpstream(body, '/v1/messages', ['content-encoding', 'gzip'])).toBe(sha256(body));
    expect(upstream.requests.at(-1)?.headers['content-encoding']).toBe('gzip');
  });

  test.each(['/v1/messages', '/v1/files'])(
    'is asked for when the client waits for leave to send it: %s',
    async (path) => {
      const body = user('"curl does so from 1 MB on"');
      const socket = connect(Number(new URL(harness.gateway.url).port), '127.0.0.1');
      socket.write(
        `POST ${path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n`,
      );
      const [leave] = await once(socket, 'data');
      socket.write(body);
      const answer = Buffer.concat(await socket.toArray()).toString();

      expect(String(leave)).toBe('HTTP/1.1 100 Continue\r\n\r\n');
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(upstream.requests.at(-1)?.body.toString()).toBe(body);
      expect(upstream.requests.at(-1)?.headers['expect']).toBeUndefined();
    },
  );

  test.each([1, 500])('is the same where it comes in %d pieces, or in one of known length', async (count) => {
    const body = Buffer.from(user(JSON.stringify('é'.repeat(100_000))));
    const size = Math.ceil(body.length / count);
    const pieces = Array.from({ length: count }, (_, at) => body.subarray(at * size, (at + 1) * size));

    expect(await hashUpstream(body)).toBe(sha256(body));
    expect(await hashUpstream(pieces)).toBe(sha256(body));
  });

  test('is the same for any JSON', async () => {
    const bytes = fc.oneof(fc.json({ maxDepth: 4 }), fc.json().map(user)).map((json) => Buffer.from(json));
    const same = fc.asyncProperty(bytes, async (body) => (await hashUpstream(body)) === sha256(body));

    await holds(same, 150);
  });

  test('is the same for a Messages request of which any bytes were changed', async () => {
    const whole = Buffer.from(
      `{"system":[{"type":"text","text":"s"}],${user('[{"type":"text","text":"a\\"b"}]').slice(1)}`,
    );
    const change = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }));
    const same = fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const body = Buffer.from(whole);
      for (const [at, byte] of changes) body[at] = byte;
      return (await hashUpstream(body)) === sha256(body);
    });

    await holds(same, 150);
  });
});

describe('a request body above the limit', () => {
  test.each([
    ['in one piece', Buffer.alloc(LIMIT + 1)],
    ['in pieces of unknown number', [Buffer.alloc(LIMIT), Buffer.alloc(1)]],
  ])('is refused in the shape of the API, and not sent: %s', async (_, body) => {
    const seen = upstream.requests.length;
    const answer = await exchange(harness.gateway.url, { body });

    expect([answer.status, answer.headers['x-loom-error']]).toEqual([413, 'body_too_large']);
    expect(JSON.parse(answer.body.toString())).toEqual({
      type: 'error',
      error: {
        type: 'request_too_large',
        message: `Loom: expected a body of at most ${LIMIT} bytes, got more; LOOM_MAX_BODY_BYTES sets the limit`,
      },
    });
    expect(upstream.requests.length).toBe(seen);
  });
});
