import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, expect, jest, test } from '@jest/globals';
import { BodyReader, type ReceivedBody } from '../../src/adapters/body-reader.ts';
import { JsonStrings } from '../../src/core/json-strings.ts';
import { scanBody } from '../../src/core/scan-body.ts';

const counter = { add: () => {} };
const metrics = { bytesHeld: counter, bodiesRefused: counter } as never;
const bodies = new BodyReader({ maxBytes: 1_000_000, maxHeldBytes: 1_000_000, metrics });
const received: ReceivedBody[] = [];
const server = http.createServer(async (request, response) => {
  received.push(await bodies.read(request, response));
  response.end();
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const TEXT = 'a'.repeat(300_000);
const BODY = JSON.stringify({ messages: [{ role: 'user', content: TEXT }] });

async function send(pieces: string[], headers: Record<string, number> = {}): Promise<ReceivedBody> {
  const { port } = server.address() as AddressInfo;
  const request = http.request({ port, method: 'POST', headers });
  const answered = once(request, 'response');
  for (const piece of pieces) request.write(piece);
  request.end();
  const [response] = (await answered) as [http.IncomingMessage];
  response.resume();
  await once(response, 'end');
  return received.pop() as ReceivedBody;
}

test('a body of announced length has been looked through when it is there', async () => {
  const { bytes, strings } = await send([BODY.slice(0, 200_000), BODY.slice(200_000)], {
    'content-length': BODY.length,
  });

  expect(bytes.toString()).toBe(BODY);
  const start = BODY.indexOf(TEXT) - 1;
  bytes.fill('x');
  // By now this can only be remembered.
  expect(strings?.endOf(start)).toBe(start + TEXT.length + 2);
});

test.each([
  ['in one piece', [BODY.replace(TEXT, 'a')]],
  ['of which nobody knows the length, in several', [BODY.slice(0, 200_000), BODY.slice(200_000)]],
])('a body that comes %s is looked through by its reader', async (_, pieces) => {
  const { bytes, strings } = await send(pieces);

  expect([bytes.toString(), strings]).toEqual([pieces.join(''), undefined]);
  expect(scanBody(bytes, strings)?.messages.length).toBe(1);
});

test('a bug in looking ahead costs nothing but that', async () => {
  // No input is known to cause one.
  const broken = jest.spyOn(JsonStrings.prototype, 'lookAhead').mockImplementation(() => {
    throw new TypeError('a bug');
  });

  const { bytes, strings } = await send([BODY], { 'content-length': BODY.length });

  expect(broken).toHaveBeenCalledTimes(1);
  broken.mockRestore();
  expect([bytes.toString(), strings]).toEqual([BODY, undefined]);
});
