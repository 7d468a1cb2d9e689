import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { answer, cutMidStream, hang, raw, sse } from '../../src/testing/reply.ts';
import { startUpstream, type Upstream } from '../../src/testing/upstream.ts';

let upstream: Upstream;

beforeEach(async () => {
  upstream = await startUpstream();
});

afterEach(() => upstream.close());

const post = (body: string | Buffer, init: RequestInit = {}) =>
  fetch(`${upstream.url}/v1/messages?beta=true`, { method: 'POST', body, ...init });

/** Speaks plain HTTP, so that nothing is normalised on the way. */
async function exchange(head: string, body = Buffer.alloc(0)): Promise<string> {
  const socket = connect(Number(new URL(upstream.url).port), '127.0.0.1');
  socket.write(Buffer.concat([Buffer.from(`${head}\r\nconnection: close\r\n\r\n`), body]));
  return Buffer.concat(await socket.toArray()).toString();
}

/** The parts of an answer that these tests look at. */
const read = async (response: Response) => (await response.json()) as { content?: unknown; error?: unknown };

describe('startUpstream', () => {
  test('records the very bytes, the path with its query and the raw headers', async () => {
    const body = Buffer.from([0x7b, 0x7d, 0x0a, 0xff, 0x00]);
    upstream.script = () => raw({ status: 204 });

    await exchange(
      'POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nX-Odd: 1\r\nx-odd: 2\r\ncontent-length: 5',
      body,
    );

    const [request] = await upstream.waitFor(1);
    expect(request).toMatchObject({
      ordinal: 1,
      method: 'POST',
      url: '/v1/messages?beta=true',
      rawHeaders: ['Host', 'a', 'X-Odd', '1', 'x-odd', '2', 'content-length', '5', 'connection', 'close'],
      body,
      sha256: '484db8c58231bab126691bafb3a616af629709ef36b0aa68451e1b384c850aca',
    });
  });

  test('sends raw replies as they are written, repeated headers included', async () => {
    upstream.script = () =>
      raw({
        status: 418,
        headers: [
          ['X-One', 'a'],
          ['x-two', 'b'],
          ['X-One', 'c'],
          ['content-length', '3'],
        ],
        chunks: [Buffer.from('a'), { waitMs: 1 }, Buffer.from('bc')],
      });

    const received = await exchange('GET / HTTP/1.1\r\nHost: a');

    expect(received).toBe(
      "HTTP/1.1 418 I'm a Teapot\r\nX-One: a\r\nx-two: b\r\nX-One: c\r\ncontent-length: 3\r\nConnection: close\r\n\r\nabc",
    );
  });

  test('answers with the script of the moment', async () => {
    const first = await post('{"model":"m","messages":[]}');
    upstream.script = answer({ text: 'Changed.' });
    const second = await post('{"model":"m","messages":[]}');

    expect([(await read(first)).content, (await read(second)).content]).toEqual([
      [{ type: 'text', text: 'Hello.' }],
      [{ type: 'text', text: 'Changed.' }],
    ]);
  });

  test('shows the fault of a script that throws', async () => {
    upstream.script = () => {
      throw new RangeError('no reply left');
    };

    const response = await post('{}');

    expect([response.status, (await read(response)).error]).toEqual([
      500,
      { type: 'api_error', message: "the upstream's script failed: RangeError: no reply left" },
    ]);
  });

  test('knows when the client left before the end, and when', async () => {
    upstream.script = () => hang();
    const controller = new AbortController();
    const response = post('{}', { signal: controller.signal }).catch((error) => error.name);
    const [request] = await upstream.waitFor(1);

    const leftAt = performance.now();
    controller.abort();

    expect(await request?.closedByClient).toBeGreaterThanOrEqual(leftAt);
    expect(request?.outcome).toBe('client_closed');
    expect(await response).toBe('AbortError');
  });

  test('stops at once when the client leaves in the middle of a pause', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    upstream.script = () => ({ ...sse({ text: 'Slow.', delayMs: 60_000 }), cutAfter: 'reset' });
    const controller = new AbortController();
    const response = await post('{}', { signal: controller.signal });

    controller.abort();

    const [request] = await upstream.waitFor(1);
    await request?.closedByClient;
    await new Promise(setImmediate);
    expect([response.status, request?.outcome, timers()]).toEqual([200, 'client_closed', before]);
  });

  test('sends what stands behind a gate once it opens', async () => {
    const gate = Promise.withResolvers<void>();
    upstream.script = () => raw({ chunks: [Buffer.from('a'), () => gate.promise, Buffer.from('b')] });
    const { body } = await post('{}');
    const reader = (body as ReadableStream<Uint8Array>).getReader();

    const before = await reader.read();
    gate.resolve();
    const after = await reader.read();

    expect([before.value, after.value]).toEqual([Uint8Array.of(0x61), Uint8Array.of(0x62)]);
  });

  test('sends nothing more when the client leaves before a gate opens', async () => {
    const gate = Promise.withResolvers<void>();
    upstream.script = () => raw({ chunks: [Buffer.from('a'), () => gate.promise], cutAfter: 'reset' });
    const controller = new AbortController();
    await post('{}', { signal: controller.signal });

    controller.abort();

    const [request] = await upstream.waitFor(1);
    await request?.closedByClient;
    gate.resolve();
    await new Promise(setImmediate);
    expect(request?.outcome).toBe('client_closed');
  });

  test('sends the head as soon as there is a chunk, even an empty one', async () => {
    upstream.script = () => raw({ status: 202, chunks: [Buffer.alloc(0)], cutAfter: 'silence' });

    const response = await post('{}');

    expect(response.status).toBe(202);
  });

  test('bills a request once, however often it is asked', async () => {
    await post('{"messages":[{"role":"user","content":[{"type":"text","text":"Hi.","cache_control":{}}]}]}');

    const [request] = await upstream.waitFor(1);
    expect([request?.usage(), request?.usage()]).toEqual(
      Array(2).fill({ input_tokens: 0, cache_creation_input_tokens: 9, cache_read_input_tokens: 0 }),
    );
  });

  test('tells a reply that it finished from one that it cut', async () => {
    const whole = await post('{"model":"m","messages":[]}');
    await whole.text();
    upstream.script = () => cutMidStream(2);
    const broken = await post('{}');

    await expect(broken.text()).rejects.toThrow('terminated');
    expect(upstream.requests.map(({ outcome }) => outcome)).toEqual(['finished', 'cut']);
  });

  test('says what it got when the expected requests do not come', async () => {
    await post('{}');

    await expect(upstream.waitFor(2, 1)).rejects.toThrow(
      'expected 2 requests within 1 ms, got [POST /v1/messages?beta=true]',
    );
  });

  test('drops open connections when it closes', async () => {
    upstream.script = () => hang();
    const response = post('{}').catch((error) => error.message);
    await upstream.waitFor(1);

    await upstream.close();

    expect(await response).toBe('fetch failed');
  });
});
