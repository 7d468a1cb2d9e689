import { deflateSync } from 'node:zlib';
import { afterAll, describe, expect, test } from '@jest/globals';
import { apiError, json, type Reply, raw, sse } from '@loom/shared/testing/reply.ts';
import { startHarness } from '../harness.ts';
import { exchange, type WireAnswer } from './wire.ts';

const harness = await startHarness();
const { upstream } = harness;

afterAll(() => harness.close());

const text = 'Caf\u00e9 \ud83d\ude00, twice: Caf\u00e9 \ud83d\ude00.';
const plain = JSON.stringify({ type: 'message', content: [{ type: 'text', text }] });
const paths = ['/v1/messages', '/v1/messages/count_tokens', '/v1/files'];

/** What the client gets for a reply of the upstream. */
function relayed(reply: Reply, path = '/v1/messages'): Promise<WireAnswer> {
  upstream.script = () => reply;
  return exchange(harness.gateway.url, { path, body: '{"model":"m","messages":[],"stream":true}' });
}

/** Without the headers of the one connection, which Node sets on each. */
function endToEnd({ rawHeaders }: WireAnswer): string[] {
  const hop = ['connection', 'keep-alive', 'transfer-encoding'];
  return rawHeaders.filter((_, at) => !hop.includes(String(rawHeaders[at - (at % 2)]).toLowerCase()));
}

describe.each(paths)('the answer to %s', (path) => {
  test.each([
    [200, 'message', 'fine'],
    [400, 'invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum'],
    [401, 'authentication_error', 'invalid x-api-key'],
    [403, 'permission_error', 'no'],
    [404, 'not_found_error', 'model: claude-unknown'],
    [413, 'request_too_large', 'Request exceeds the maximum size'],
    [429, 'rate_limit_error', 'slow down'],
    [500, 'api_error', 'Internal server error'],
    [529, 'overloaded_error', 'Overloaded'],
  ])('has the upstream’s status, headers and body: %i', async (status, type, message) => {
    const reply = apiError(status, type, message);
    const headers = [
      ['Content-Type', 'application/json'],
      ['Request-Id', 'req_011CTest'],
      ['set-cookie', 'a=1; Path=/; HttpOnly'],
      ['retry-after', '7'],
      ['X-Unheard-Of', 'caf\u00e9'],
      ['anthropic-ratelimit-unified-5h-status', 'allowed_warning'],
      ['Set-Cookie', 'b=2'],
      ['x-empty', ''],
      ['__proto__', 'x'],
      ['x-repeated', 'one'],
      ['x-should-retry', 'true'],
      ['X-Repeated', 'two'],
      ['content-length', String(Buffer.concat(reply.chunks as Buffer[]).length)],
    ] as [string, string][];

    const answer = await relayed({ ...reply, headers }, path);

    expect(answer.status).toBe(status);
    expect(endToEnd(answer)).toEqual(headers.flat());
    expect(answer.body).toEqual(reply.chunks[0]);
  });

  test.each(['', '7', '{}', `"${'x'.repeat(300_000)}"`])(
    'is the same where its length is known, however short',
    async (body) => {
      const headers: [string, string][] = [
        ['content-type', 'application/json'],
        ['content-length', String(body.length)],
      ];

      const answer = await relayed(raw({ headers, chunks: body === '' ? [] : [Buffer.from(body)] }), path);

      expect([answer.headers['content-length'], answer.body.toString()]).toEqual([String(body.length), body]);
    },
  );

  test('gets no header that the upstream did not send, not even a date', async () => {
    const answer = await relayed(raw({ chunks: [Buffer.from(plain)] }), path);

    expect(endToEnd(answer)).toEqual([]);
    expect(answer.body.toString()).toBe(plain);
  });

  test('keeps the upstream’s date', async () => {
    const headers: [string, string][] = [['Date', 'Thu, 01 Jan 1970 00:00:00 GMT']];

    expect(endToEnd(await relayed(raw({ headers }), path))).toEqual(headers.flat());
  });

  test.each([301, 302, 303, 307, 308])('is a redirect that is relayed, not followed: %i', async (status) => {
    const seen = upstream.requests.length;
    const headers: [string, string][] = [['Location', `${upstream.url}/v1/elsewhere`]];

    const answer = await relayed(raw({ status, headers }), path);

    expect([answer.status, endToEnd(answer)]).toEqual([status, headers.flat()]);
    expect(upstream.requests.length).toBe(seen + 1);
  });

  test.each([204, 304])('may have no body at all: %i', async (status) => {
    const answer = await relayed(raw({ status, headers: [['ETag', '"x"']] }), path);

    expect([answer.status, endToEnd(answer), answer.body.length]).toEqual([status, ['ETag', '"x"'], 0]);
  });

  test.each(['gzip', 'br', 'zstd'] as const)('keeps its encoding and its bytes: %s', async (encoding) => {
    for (const reply of [json({ text, encoding }), sse({ text, encoding, chunking: 7 })]) {
      const answer = await relayed(reply, path);

      expect(answer.headers['content-encoding']).toBe(encoding);
      expect(answer.body).toEqual(Buffer.concat(reply.chunks as Buffer[]));
    }
  });

  test.each([
    ['deflate', deflateSync(plain)],
    ['an encoding nobody knows', Buffer.from('any bytes')],
    ['gzip that is none', Buffer.from('any bytes')],
  ])('keeps its bytes, whatever Loom makes of them: %s', async (name, body) => {
    const encoding = { deflate: 'deflate', 'gzip that is none': 'gzip' }[name] ?? 'x-unheard-of';
    const headers: [string, string][] = [
      ['content-type', 'application/json'],
      ['content-encoding', encoding],
    ];

    const answer = await relayed(raw({ headers, chunks: [body.subarray(0, 3), body.subarray(3)] }), path);

    expect([endToEnd(answer), answer.body]).toEqual([headers.flat(), body]);
  });

  test('may be 32 MB long', async () => {
    const chunks = Array.from({ length: 512 }, (_, at) => Buffer.alloc(65_536, at));

    const answer = await relayed(raw({ headers: [['content-type', 'application/json']], chunks }), path);

    expect(answer.body.equals(Buffer.concat(chunks))).toBe(true);
  });
});
