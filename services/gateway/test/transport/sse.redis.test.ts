import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, describe, expect, test } from '@jest/globals';
import { eventsOf } from '@loom/shared/testing/answer.ts';
import { holds } from '@loom/shared/testing/law.ts';
import { raw, sse } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import fc from 'fast-check';
import { startHarness } from '../harness.ts';
import { exchange, listen, open } from './wire.ts';

const scripted = await startHarness();
let onStream: (response: ServerResponse) => void = () => {};
const byHand = await listen((request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  onStream(response);
});
const harness = await startHarness({ LOOM_UPSTREAM_URL: byHand.url });

afterAll(async () => {
  await byHand.close();
  await harness.close();
  await scripted.close();
});

const body = '{"model":"m","stream":true,"messages":[]}';
const headers: [string, string][] = [['content-type', 'text/event-stream; charset=utf-8']];
const text = 'Caf\u00e9 \ud83d\ude00';
const whole = Buffer.from(
  `: a comment\r\n\r\nevent: ping\ndata: {"type":"ping"}\n\nid: 7\nretry: 10\nevent: unheard_of\ndata: {"type":\ndata: "x"}\n\n${eventsOf(
    { text },
  )
    .map((event) => `event: ${event.type}\rdata:${JSON.stringify(event)}\r\r`)
    .join('')}data: no end`,
);

/** Begins a stream whose events the test sends by hand. */
async function begin(): Promise<{ upstream: ServerResponse; client: IncomingMessage }> {
  const started = Promise.withResolvers<ServerResponse>();
  onStream = started.resolve;
  const client = await open(harness.gateway.url, { body }).answered;
  return { upstream: await started.promise, client };
}

describe('a stream of server-sent events', () => {
  test.each([
    ['byte by byte', Array.from(whole, (byte) => Buffer.from([byte]))],
    ['with characters split', [whole.subarray(0, -20), whole.subarray(-20, -17), whole.subarray(-17)]],
    ['in one piece', [whole]],
  ])('reaches the client byte for byte: %s', async (_, chunks) => {
    scripted.upstream.script = () => raw({ headers, chunks });

    expect((await exchange(scripted.gateway.url, { body })).body).toEqual(whole);
  });

  test.each(['byte', 'crlf', 5] as const)(
    'reaches the client byte for byte in the API’s form: %s',
    async (chunking) => {
      const reply = sse({
        thinking: 'Hm.',
        text,
        toolUses: [{ id: 't', name: 'Read', input: { path: '/a' } }],
        chunking,
      });
      scripted.upstream.script = () => reply;

      const answer = await exchange(scripted.gateway.url, { body });

      expect(answer.body).toEqual(Buffer.concat(reply.chunks as Buffer[]));
    },
  );

  test('may have lines of 1 MB', async () => {
    const line = Buffer.from(`data: ${JSON.stringify({ type: 'x', data: 'x'.repeat(1_048_576) })}\n\n`);
    scripted.upstream.script = () => raw({ headers, chunks: [line, line] });

    expect((await exchange(scripted.gateway.url, { body })).body.equals(Buffer.concat([line, line]))).toBe(true);
  });

  test('is the same for any bytes in any pieces', async () => {
    const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 12 });
    const same = fc.asyncProperty(pieces, async (list) => {
      const chunks = list.map((piece) => Buffer.from(piece));
      scripted.upstream.script = () => raw({ headers, chunks });
      return (await exchange(scripted.gateway.url, { body })).body.equals(Buffer.concat(chunks));
    });

    await holds(same, 60);
  });

  test('begins with its head, however long the first event takes', async () => {
    const { upstream, client } = await begin();

    expect([client.statusCode, client.headers['content-type']]).toEqual([200, 'text/event-stream']);
    upstream.end();
    await once(client.resume(), 'end');
  });

  test('arrives event by event: each one is there before the next one is sent', async () => {
    const { upstream, client } = await begin();
    const received: string[] = [];

    for (const event of eventsOf({ text })) {
      const arrival = once(client, 'data');
      upstream.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      received.push(String((await arrival)[0]));
    }

    upstream.end();
    await once(client, 'end');
    expect(received).toEqual(
      eventsOf({ text }).map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`),
    );
  });

  test('waits upstream for a client that does not read, and then goes on complete', async () => {
    const { upstream, client } = await begin();
    const event = Buffer.from(`data: ${JSON.stringify({ type: 'x', data: 'x'.repeat(65_536) })}\n\n`);
    let sent = 0;
    // Twice what all sockets between them hold.
    const limit = 64 * 1_048_576;
    let isFull = false;
    while (!isFull && sent < limit) {
      isFull = !upstream.write(event);
      sent += event.length;
      // The kernel took it: that is not yet what backpressure is.
      if (isFull)
        isFull = await until(() => !upstream.writableNeedDrain, { withinMs: 500 }).then(
          () => false,
          () => true,
        );
    }

    expect(isFull).toBe(true);
    upstream.end();
    let received = 0;
    for await (const chunk of client) received += chunk.length;
    expect(received).toBe(sent);
  });
});
