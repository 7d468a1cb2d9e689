import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterAll, describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { MESSAGES_PATH } from '../../src/core/paths.ts';
import { hookReminder, text, user } from '../core/fixtures/body.ts';
import { startHandler } from '../handler.ts';
import { startHarness } from '../harness.ts';

const harness = await startHarness();
/** A fault of ours, which no input is known to cause. */
const broken = { recall: () => undefined, run: () => Promise.reject(new TypeError('a bug')) };
const { handler, close } = await startHandler(harness, broken);
const server = http.createServer(async (request, response) => {
  await handler.handle(request, response, MESSAGES_PATH, { bytes: await buffer(request), strings: undefined });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await close();
  await harness.close();
});

describe('a bug in the edit stage', () => {
  test('costs the edits and nothing else: the request goes out without metadata, and its events say so', async () => {
    const { port } = server.address() as AddressInfo;
    const plain = { messages: [user(text('tea?'))], tools: [{ name: 'Bash' }] };
    const body = JSON.stringify({ ...plain, messages: [user(text(hookReminder()), text('tea?'))] });

    const answer = await fetch(`http://127.0.0.1:${port}${MESSAGES_PATH}`, { method: 'POST', body });

    expect(answer.status).toBe(200);
    await answer.text();
    const [forwarded] = harness.upstream.requests;
    expect(forwarded?.body.includes(CANARY)).toBe(false);
    expect(forwarded?.json()).toEqual(plain);
    const [event] = await harness.eventsWhen('responses', 'request.forwarded', 1);
    expect(event?.data).toMatchObject({ metadataBlocks: 1, edits: [], bytesOut: forwarded?.body.length });
    expect(await harness.eventsWhen('responses', 'response.completed', 1)).toHaveLength(1);
  });
});
