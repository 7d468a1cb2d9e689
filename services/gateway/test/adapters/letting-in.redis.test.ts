import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterAll, expect, test } from '@jest/globals';
import { sse } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { MESSAGES_PATH } from '../../src/core/paths.ts';
import { text, user } from '../core/fixtures/body.ts';
import { startHandler } from '../handler.ts';
import { startHarness } from '../harness.ts';

const body = JSON.stringify({ messages: [user(text('tea?'))] });
const harness = await startHarness();
/** Counts the turns of the event loop. */
let turn = 0;
let counting = setImmediate(function count() {
  turn++;
  counting = setImmediate(count);
});
const seenIn: number[] = [];
const { handler, close } = await startHandler(harness, {
  recall() {
    seenIn.push(turn);
    return undefined;
  },
  run: async ({ bytes }) => ({ body: [bytes], replayed: 0, edits: [], heldMs: 0, lost: [] }),
});
/** Requests whose bodies were read. */
const read: [IncomingMessage, ServerResponse, Buffer][] = [];
const server = http.createServer(async (request, response) => {
  read.push([request, response, await buffer(request)]);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;

afterAll(async () => {
  clearImmediate(counting);
  server.closeAllConnections();
  server.close();
  await close();
  await harness.close();
});

/** Sends so many requests and hands them to the handler all at once; returns their answers, once each has begun. */
async function send(count: number): Promise<Response[]> {
  const url = `http://127.0.0.1:${port}${MESSAGES_PATH}`;
  const answers = Array.from({ length: count }, () => fetch(url, { method: 'POST', body }));
  await until(() => read.length === count);
  for (const [request, response, bytes] of read.splice(0))
    void handler.handle(request, response, MESSAGES_PATH, { bytes, strings: undefined });
  return Promise.all(answers);
}

test('requests that come at once are let in at once, and one at each turn while an answer is relayed', async () => {
  harness.upstream.script = () => sse({ text: 'Yes.', delayMs: 500 });
  const relayed = await send(3);
  const atOnce = new Set(seenIn.splice(0));
  const others = await send(3);
  await Promise.all([...relayed, ...others].map((answer) => answer.body?.cancel()));

  expect(atOnce.size).toBe(1);
  expect(new Set(seenIn).size).toBe(3);
});
