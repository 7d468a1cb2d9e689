import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, describe, expect, jest, test } from '@jest/globals';
import { sendBody } from '../../src/adapters/send-body.ts';

const SLICE_BYTES = 1_048_576;
const long = randomBytes(2 * SLICE_BYTES + 1);

const server = http.createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
afterAll(() => void server.close());

/** A request that announces so many bytes, and what the server sees of it. */
async function open(length: number) {
  const request = http.request({ port, agent: false, method: 'POST', headers: { 'content-length': length } });
  const arrival = once(server, 'request') as Promise<[http.IncomingMessage, http.ServerResponse]>;
  const [socket] = (await once(request, 'socket')) as [Socket];
  await once(socket, 'connect');
  return { request, arrival };
}

/** Sends a body; what arrives of it, and how many turns of the event loop went by until all of it was written. */
async function send(body: Buffer[]) {
  const { request, arrival } = await open(Buffer.concat(body).length);
  let turns = 0;
  const isBeingWritten = sendBody(request, body);
  for (; !request.writableEnded; turns += 1) await nextTurn();
  const [incoming, response] = await arrival;
  const arrived = await buffer(incoming);
  response.end();
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  answer.resume();
  return { arrived, turns, isBeingWritten };
}

describe('sendBody', () => {
  test('writes a short body at once, also where it is in pieces', async () => {
    const body = [long.subarray(0, 1), long.subarray(1, SLICE_BYTES)];

    const { arrived, turns, isBeingWritten } = await send(body);

    expect([arrived.equals(Buffer.concat(body)), turns, isBeingWritten]).toEqual([true, 0, false]);
  });

  test('writes a long body byte for byte, and lets others have their turn between its slices', async () => {
    const { arrived, turns, isBeingWritten } = await send([long.subarray(0, 300_001), long.subarray(300_001)]);

    expect([arrived.equals(long), isBeingWritten]).toEqual([true, true]);
    expect(turns).toBeGreaterThanOrEqual(3);
  });

  test('ends a request whose body it cannot write to its end: nobody is to wait for the rest', async () => {
    const { request } = await open(long.length);
    const failed = once(request, 'error');
    // No input is known to cause one.
    jest.spyOn(request, 'uncork').mockImplementation(() => {
      throw new TypeError('a bug');
    });

    sendBody(request, [long]);

    expect(await failed).toEqual([new TypeError('a bug')]);
  });

  test('leaves a request alone that is destroyed meanwhile', async () => {
    const { request } = await open(long.length);
    const failed = once(request, 'error');
    sendBody(request, [long]);

    request.destroy(new Error('the client has left'));

    expect(await failed).toEqual([new Error('the client has left')]);
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
    expect(request.writableEnded).toBe(false);
  });
});
