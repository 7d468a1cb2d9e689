import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterAll, describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { Streams } from '@loom/shared/streams.ts';
import { until } from '@loom/shared/testing/until.ts';
import { BoundedReads } from '../../src/adapters/bounded-reads.ts';
import { Captures } from '../../src/adapters/captures.ts';
import type { EditStage } from '../../src/adapters/edit-stage.ts';
import { EventPublisher } from '../../src/adapters/event-publisher.ts';
import { Leisure } from '../../src/adapters/leisure.ts';
import { MessagesHandler } from '../../src/adapters/messages-handler.ts';
import { openMetrics } from '../../src/adapters/metrics.ts';
import { SessionRecords } from '../../src/adapters/session-records.ts';
import { Spool } from '../../src/adapters/spool.ts';
import { UpstreamProxy } from '../../src/adapters/upstream-proxy.ts';
import { MESSAGES_PATH } from '../../src/core/paths.ts';
import { hookReminder, sha256, text, user } from '../core/fixtures/body.ts';
import { startHarness } from '../harness.ts';
import { log } from '../quiet-log.ts';

const harness = await startHarness();
const streams = new Streams({ url: harness.redis.url, prefix: 'loom', source: '/test', log });
const metrics = openMetrics();
const spool = new Spool({ folder: harness.spoolFolder, maxBytes: 1_000_000, log });
const publisher = new EventPublisher({ streams, spool, metrics, log, gateway: 'g1' });
const proxy = new UpstreamProxy({ url: harness.upstream.url, idleMs: 5_000, log });
/** A fault of ours, which no input is known to cause. */
const broken = { recall: () => {}, run: () => Promise.reject(new TypeError('a bug')) } as unknown as EditStage;
const sessions = new SessionRecords(streams, new BoundedReads(streams, metrics, 2_000), log);
const leisure = new Leisure();
const captures = new Captures({ mode: 'none', redact: [], sha256 }, { publisher, leisure, metrics, log });
const parts = { sessions, stage: broken, publisher, captures, leisure, proxy, metrics, log };
const handler = new MessagesHandler({ gateway: 'g1', capture: 'none', hookSecret: undefined, ...parts });
const server = http.createServer(async (request, response) => {
  await handler.handle(request, response, MESSAGES_PATH, { bytes: await buffer(request), strings: undefined });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
await until(() => streams.connected);

afterAll(async () => {
  server.closeAllConnections();
  server.close();
  proxy.close();
  await publisher.close();
  streams.close();
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
