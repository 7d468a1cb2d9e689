import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { encodeEvent, InvalidEventError, type LoomEvent } from '@loom/shared/event.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { readEvents } from '../up/responses.ts';
import { completed } from './exchange.ts';

let attempts = 0;
const refusing = createServer((socket) => {
  attempts += 1;
  socket.destroy();
});
let server: RedisServer;
beforeAll(async () => {
  server = await startRedis({ aof: true });
});
afterAll(async () => {
  refusing.close();
  await server.close();
});

const add = (key: string, event: LoomEvent) => server.client().xadd(key, '*', ...encodeEvent(event));

describe('readEvents', () => {
  test('begins after what is there, and goes on after Redis was away', async () => {
    await add('first', completed('old'));
    const stop = new AbortController();
    const events = readEvents(server.url, 'first', stop.signal);
    const one = events.next();
    await waitUntilBlocked();
    await add('first', completed('r1'));

    expect(await one).toEqual({ done: false, value: completed('r1') });

    const two = events.next();
    await server.kill();
    await server.start();
    await add('first', completed('r2'));

    expect(await two).toEqual({ done: false, value: completed('r2') });

    const end = events.next();
    stop.abort();

    expect(await end).toEqual({ done: true, value: undefined });
  });

  test('gives the fault of an entry that is no event, and goes on', async () => {
    const events = readEvents(server.url, 'second', new AbortController().signal);
    const one = events.next();
    await waitUntilBlocked();
    await server.client().xadd('second', '*', 'type', 'gossip');
    await add('second', completed('r1'));

    expect((await one).value).toBeInstanceOf(InvalidEventError);
    expect((await events.next()).value).toEqual(completed('r1'));
    await events.return(undefined);
  });

  test('ends when it is stopped while Redis is away', async () => {
    refusing.listen(0, '127.0.0.1');
    await once(refusing, 'listening');
    const { port } = refusing.address() as { port: number };
    const stop = new AbortController();
    const end = readEvents(`redis://127.0.0.1:${port}`, 'third', stop.signal).next();
    await until(() => attempts > 2);

    stop.abort();

    expect(await end).toEqual({ done: true, value: undefined });
  });
});

/** Until a reader waits in XREAD: what is added from then on is new to it. */
async function waitUntilBlocked(): Promise<void> {
  const client = server.client();
  await until(async () => /blocked_clients:1/.test(await client.info('clients')));
}
