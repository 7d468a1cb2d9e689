import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { startHarness } from '../harness.ts';
import { exchange, talk } from '../transport/wire.ts';
import { OK, startRawUpstream } from './raw-upstream.ts';

const upstream = await startRawUpstream();
const elsewhere = await startRawUpstream();
const harness = await startHarness({ LOOM_UPSTREAM_URL: upstream.url });

afterAll(async () => {
  await harness.close();
  await upstream.close();
  await elsewhere.close();
});

/** Another answer, to whoever reads on. */
const EVIL = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil';
const CHUNKED = '2\r\nok\r\n0\r\n\r\n';
const NEXT = 'GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
let say: (socket: Socket) => void;

beforeEach(() => {
  upstream.requests.length = 0;
  upstream.respond = (socket, { target }) => (target === '/next' ? socket.write(OK) : say(socket));
});

/** Asks, and asks again on the same connection when the answer is there: status and body of both. */
async function answersTo(path: string, method = 'POST'): Promise<string[]> {
  const framing = method === 'POST' ? 'content-length: 2\r\n\r\n{}' : '\r\n';
  const socket = connect(Number(new URL(harness.gateway.url).port), '127.0.0.1').on('error', () => {});
  socket.write(`${method} ${path} HTTP/1.1\r\nhost: a\r\n${framing}`);
  const [first] = await once(socket, 'data');
  socket.write(NEXT);
  const text = Buffer.concat([first, ...(await socket.toArray())]).toString('latin1');
  return text.split(/(?=HTTP\/1\.1 )/).map((answer) => {
    const [head = '', ...body] = answer.split('\r\n\r\n');
    const isLoom = head.includes('x-loom-error: upstream_unreachable');
    return `${head.slice(9, 12)} ${isLoom ? 'of Loom' : body.join('|')}`;
  });
}

const head = (...lines: string[]) => `HTTP/1.1 200 OK\r\n${lines.join('\r\n')}\r\n\r\n`;

const refused: [name: string, bytes: string][] = [
  ['two lengths', `${head('content-length: 2', `content-length: ${2 + EVIL.length}`)}ok${EVIL}`],
  ['the same length twice', `${head('content-length: 2', 'content-length: 2')}ok`],
  ['a coding and a length', head('transfer-encoding: chunked', 'content-length: 2') + CHUNKED],
  ['a length and a coding', head('content-length: 2', 'transfer-encoding: chunked') + CHUNKED],
  ['a length with a sign', `${head('content-length: +2')}ok`],
  ['a length below nothing', `${head('content-length: -2')}ok`],
  ['another coding before chunked', head('transfer-encoding: gzip, chunked') + CHUNKED],
  ['another coding behind chunked', head('transfer-encoding: chunked, gzip') + CHUNKED],
  ['another coding alone', `${head('transfer-encoding: identity')}ok`],
  ['a folded header', `${head('x-a: b\r\n content-length: 0', 'content-length: 2')}ok`],
  ['bare line feeds', 'HTTP/1.1 200 OK\ncontent-length: 2\n\nok'],
  ['a bare line feed in a header', `${head('x-a: b\ncontent-length: 0', 'content-length: 2')}ok`],
  ['a bare carriage return in a header', `${head('x-a: b\rcontent-length: 0', 'content-length: 2')}ok`],
  ['a carriage return in the reason', 'HTTP/1.1 200 O\rx-a: b\r\ncontent-length: 2\r\n\r\nok'],
  ['a line feed in the reason', 'HTTP/1.1 200 O\nx-a: b\r\ncontent-length: 2\r\n\r\nok'],
  ['a NUL in a header', `${head('x-a: b\0', 'content-length: 2')}ok`],
  ['an escape in a header', `${head('x-a: \x1b[2J', 'content-length: 2')}ok`],
  ['a blank in a header’s name', `${head('x a: b', 'content-length: 2')}ok`],
  ['a header of 1 MB', `${head(`x-a: ${'b'.repeat(1_048_576)}`, 'content-length: 2')}ok`],
  ['2,500 headers', `HTTP/1.1 200 OK\r\n${'a:\r\n'.repeat(2_500)}content-length: 2\r\n\r\nok`],
  ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nbytes'],
  ['another protocol, without saying which', 'HTTP/1.1 101 Switching Protocols\r\n\r\nbytes'],
  ['an interim answer with a body', `HTTP/1.1 199 Odd\r\ncontent-length: 4\r\n\r\nevil${OK}`],
  ['a status of two digits', 'HTTP/1.1 99 Odd\r\ncontent-length: 2\r\n\r\nok'],
  ['a status of four digits', 'HTTP/1.1 1000 Odd\r\ncontent-length: 2\r\n\r\nok'],
];

const passed: [name: string, bytes: string, answer: string][] = [
  ['another answer behind it', `${head('content-length: 2')}ok${EVIL}`, '200 ok'],
  ['chunk extensions', `${head('transfer-encoding: chunked')}2;a="b"\r\nok\r\n0\r\n\r\n`, '200 2\r\nok\r\n0|'],
  ['a trailer', `${head('transfer-encoding: chunked')}2\r\nok\r\n0\r\nx-t: 1\r\n\r\n`, '200 2\r\nok\r\n0|'],
  ['leave to go on before it', `HTTP/1.1 100 Continue\r\n\r\n${OK}`, '200 ok'],
  ['early hints before it', `HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${OK}`, '200 ok'],
  ['1,000 interim answers before it', `${'HTTP/1.1 102 Processing\r\n\r\n'.repeat(1_000)}${OK}`, '200 ok'],
  ['a status that nobody knows', 'HTTP/1.1 799 Odd\r\ncontent-length: 2\r\n\r\nok', '799 ok'],
  ['a length that `connection` lists', `${head('connection: content-length', 'content-length: 2')}ok`, '200 ok'],
  ['an offer of another protocol', `${head('connection: upgrade', 'upgrade: h2c', 'content-length: 2')}ok`, '200 ok'],
  ['a body where there can be none', `HTTP/1.1 204 None\r\ncontent-length: 4\r\n\r\nevil`, '204 '],
];

describe.each(['/v1/messages', '/v1/files'])('the answer to %s', (path) => {
  test.each(refused)('is a failure when it could be read in two ways: %s', async (_, bytes) => {
    say = (socket) => void socket.write(bytes, 'latin1');

    expect(await answersTo(path)).toEqual(['502 of Loom', '200 ok']);
  });

  test.each(passed)('is one answer, and the next is the next one’s: %s', async (_, bytes, answer) => {
    say = (socket) => void socket.write(bytes, 'latin1');

    expect(await answersTo(path)).toEqual([answer, '200 ok']);
  });

  test.each([
    ['a chunk without a size', 'zz\r\nok\r\n'],
    ['a length in the trailer', '2\r\nok\r\n0\r\ncontent-length: 9\r\n\r\n'],
  ])('is cut where it can be read no further: %s', async (_, rest) => {
    say = (socket) => void socket.write(`${head('transfer-encoding: chunked')}2\r\nok\r\n${rest}`);

    const broken = await exchange(harness.gateway.url, { path, body: '{}' }).catch(({ code }) => code);

    expect(broken).toBe('ECONNRESET');
  });

  test.each([301, 302, 303, 307, 308])(
    'is passed on when it leads elsewhere, and nobody goes there: %i',
    async (status) => {
      const location = `${elsewhere.url}${path}`;
      say = (socket) =>
        void socket.write(`HTTP/1.1 ${status} Go\r\nlocation: ${location}\r\ncontent-length: 0\r\n\r\n`);

      const answer = await exchange(harness.gateway.url, { path, body: '{}', headers: ['x-api-key', 'k'] });

      expect([answer.status, answer.headers.location]).toEqual([status, location]);
      expect([upstream.requests.length, elsewhere.requests.length]).toEqual([1, 0]);
    },
  );
});

test.each(['HEAD', 'GET'])('bytes that come late on a connection are nobody’s answer: %s', async (method) => {
  const late = Promise.withResolvers<void>();
  const closed: Promise<unknown>[] = [];
  say = async (socket) => {
    closed.push(once(socket, 'close'));
    socket.write(method === 'HEAD' ? head('content-length: 44') : `${head('content-length: 2')}ok`);
    await late.promise;
    socket.write(EVIL);
  };
  await exchange(harness.gateway.url, { method, path: '/v1/models' });
  late.resolve();
  await Promise.all(closed);

  expect(await talk(harness.gateway.url, NEXT)).toMatch(/\r\n\r\nok$/);
});

test('interim answers without an end end with the client, and hold up nobody else', async () => {
  let stop = false;
  let sent = 0;
  say = (socket) => {
    const flood = () => {
      if (stop || socket.destroyed) return;
      sent++;
      socket.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(50), () => setImmediate(flood));
    };
    flood();
  };
  const socket = connect(Number(new URL(harness.gateway.url).port), '127.0.0.1');
  socket.write('POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}');
  await until(() => sent > 20);

  const others = await talk(harness.gateway.url, NEXT);
  socket.destroy();
  await until(async () => (await harness.metric('loom_exchanges_active')) === 0);
  stop = true;

  expect(others).toMatch(/\r\n\r\nok$/);
});
