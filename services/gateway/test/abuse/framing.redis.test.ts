import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { startHarness } from '../harness.ts';
import { talk } from '../transport/wire.ts';
import { OK, startRawUpstream } from './raw-upstream.ts';

const upstream = await startRawUpstream();
const harness = await startHarness({ LOOM_UPSTREAM_URL: upstream.url });

afterAll(async () => {
  await harness.close();
  await upstream.close();
});
afterEach(() => {
  upstream.requests.length = 0;
  upstream.faults.length = 0;
  upstream.respond = (socket) => void socket.write(OK);
});

/** What an attacker would have somebody else's connection ask. */
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nhost: evil\r\nx-api-key: stolen\r\n\r\n';
const CHUNKED = `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`;
const HI = '2\r\nhi\r\n0\r\n\r\n';
const NEXT = 'GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
/** So many headers that a reader with a limit may lose the one behind them; and more than anybody reads. */
const MANY = 'a:\r\n'.repeat(900);
const TOO_MANY = 'a:\r\n'.repeat(2_500);

/** Sends bytes and, behind them, a sound request; all that comes until the connection is closed. */
async function attack(bytes: string): Promise<{ answers: string[]; seen: unknown[]; faults: string[] }> {
  const answers = await talk(harness.gateway.url, Buffer.from(bytes + NEXT, 'latin1'));
  return {
    answers: (answers.match(/HTTP\/1\.1 \d+/g) ?? []).map((line) => line.slice(9)),
    // On connections of their own they may overtake one another.
    seen: upstream.requests.map(({ method, target, body }) => `${method} ${target} ${body}`).sort(),
    faults: upstream.faults,
  };
}

const post = (path: string, headers: string, body = '') =>
  `POST ${path} HTTP/1.1\r\nhost: a\r\n${headers}\r\n\r\n${body}`;

const refused: [name: string, headers: string, body: string, status: number][] = [
  ['CL.TE', `content-length: ${5 + SMUGGLED.length}\r\ntransfer-encoding: chunked`, `0\r\n\r\n${SMUGGLED}`, 400],
  ['TE.CL', 'transfer-encoding: chunked\r\ncontent-length: 4', CHUNKED, 400],
  ['a coding with a blank before the colon', 'transfer-encoding : chunked', HI, 400],
  ['a coding behind a control character', 'transfer-encoding: \x0bchunked', HI, 400],
  ['a coding that is nearly one', 'transfer-encoding: xchunked', HI, 501],
  ['a coding in quotes', 'transfer-encoding: "chunked"', HI, 501],
  ['a coding with a parameter', 'transfer-encoding: chunked;q=1', HI, 501],
  ['a coding on a folded line', 'transfer-encoding:\r\n chunked', HI, 400],
  ['a coding and a comma', 'transfer-encoding: chunked,', HI, 400],
  ['no coding at all', 'transfer-encoding:\r\ncontent-length: 2', 'hi', 400],
  ['chunked before another coding', 'transfer-encoding: chunked, identity', HI, 400],
  [
    'chunked, then another coding in a header of its own',
    'transfer-encoding: chunked\r\ntransfer-encoding: x',
    HI,
    400,
  ],
  ['chunked twice', 'transfer-encoding: chunked, chunked', HI, 400],
  ['chunked in two headers', 'transfer-encoding: chunked\r\ntransfer-encoding: chunked', HI, 400],
  ['another coding before chunked', 'transfer-encoding: gzip, chunked', HI, 501],
  ['identity before chunked', 'transfer-encoding: identity, chunked', HI, 501],
  [
    'identity, then chunked in a header of its own',
    'transfer-encoding: identity\r\ntransfer-encoding: chunked',
    HI,
    501,
  ],
  ['two lengths', `content-length: 2\r\ncontent-length: ${2 + SMUGGLED.length}`, `hi${SMUGGLED}`, 400],
  ['the same length twice', 'content-length: 2\r\ncontent-length: 2', 'hi', 400],
  ['a list of lengths', 'content-length: 2, 2', 'hi', 400],
  ['a length with a sign', 'content-length: +2', 'hi', 400],
  ['a length below nothing', 'content-length: -2', 'hi', 400],
  ['a length in hexadecimal', 'content-length: 0x2', 'hi', 400],
  ['a length in two words', 'content-length: 2 2', 'hi', 400],
  ['a length that is no whole number', 'content-length: 2.0', 'hi', 400],
  ['an empty length', 'content-length:', '', 400],
  ['a length beyond 64 bits', 'content-length: 18446744073709551618', 'hi', 400],
  ['a folded header', 'x-a: b\r\n content-length: 0\r\ncontent-length: 2', 'hi', 400],
  ['a bare line feed in a header', 'x-a: b\ncontent-length: 0\r\ncontent-length: 2', 'hi', 400],
  ['a bare carriage return in a header', 'x-a: b\rcontent-length: 0\r\ncontent-length: 2', 'hi', 400],
  ['a NUL in a header', 'x-a: b\0\r\ncontent-length: 2', 'hi', 400],
  ['a blank in a header’s name', 'x a: b\r\ncontent-length: 2', 'hi', 400],
  ['a header without a name', ': b\r\ncontent-length: 2', 'hi', 400],
  ['a header without a colon', 'x-a\r\ncontent-length: 2', 'hi', 400],
  ['two hosts', 'host: b\r\ncontent-length: 2', 'hi', 400],
  ['a header of 100 KB', `x-a: ${'b'.repeat(102_400)}\r\ncontent-length: 2`, 'hi', 431],
  ['headers of 100 KB', `${`x-a: ${'b'.repeat(1_000)}\r\n`.repeat(100)}content-length: 2`, 'hi', 431],
  ['its length behind 2,500 headers', `${TOO_MANY}content-length: ${SMUGGLED.length}`, SMUGGLED, 431],
  ['its coding behind 2,500 headers', `${TOO_MANY}transfer-encoding: chunked`, CHUNKED, 431],
  ['a chunk extension with a line feed', 'transfer-encoding: chunked', '2;a\nb\r\nhi\r\n0\r\n\r\n', 400],
  ['a chunk extension of 20 KB', 'transfer-encoding: chunked', `2;${'a'.repeat(20_480)}\r\nhi\r\n0\r\n\r\n`, 400],
  ['a chunk size in hexadecimal’s other spelling', 'transfer-encoding: chunked', `0x${HI}`, 400],
  ['a chunk size with a sign', 'transfer-encoding: chunked', `+${HI}`, 400],
  ['a chunk size and a blank', 'transfer-encoding: chunked', '2 \r\nhi\r\n0\r\n\r\n', 400],
  ['a chunk size beyond 64 bits', 'transfer-encoding: chunked', '10000000000000002\r\nhi\r\n0\r\n\r\n', 400],
  ['a chunk size with a bare line feed', 'transfer-encoding: chunked', '2\nhi\r\n0\r\n\r\n', 400],
  ['a chunk with a bare line feed behind it', 'transfer-encoding: chunked', '2\r\nhi\n0\r\n\r\n', 400],
  ['a chunk that is longer than it says', 'transfer-encoding: chunked', `2\r\nhi!\r\n0\r\n\r\n`, 400],
  ['a trailer that is no header', 'transfer-encoding: chunked', '2\r\nhi\r\n0\r\nbad\r\n\r\n', 400],
  ['a length in the trailer', 'transfer-encoding: chunked', '2\r\nhi\r\n0\r\ncontent-length: 7\r\n\r\n', 400],
];

const refusedLines: [name: string, bytes: string, status: number][] = [
  ['bare line feeds', 'POST /v1/messages HTTP/1.1\nhost: a\ncontent-length: 2\n\nhi', 400],
  ['no host', 'GET /v1/models HTTP/1.1\r\n\r\n', 400],
  ['a blank before the first header', 'GET /v1/models HTTP/1.1\r\n x: y\r\nhost: a\r\n\r\n', 400],
  ['a tab in the request line', 'GET\t/v1/models HTTP/1.1\r\nhost: a\r\n\r\n', 400],
  ['HTTP/0.9', 'GET /v1/models\r\n', 400],
  ['HTTP/1.2', 'GET /v1/models HTTP/1.2\r\nhost: a\r\n\r\n', 400],
  ['HTTP/2 by name', 'GET /v1/models HTTP/2.0\r\nhost: a\r\n\r\n', 505],
  ['HTTP/2 by its preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  [
    'a coding of a client that cannot know it',
    `POST /v1/messages HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${HI}`,
    400,
  ],
  ['a tunnel', `CONNECT evil:443 HTTP/1.1\r\nhost: evil:443\r\n\r\n${SMUGGLED}`, 400],
  ['a host for a target', 'GET evil:443 HTTP/1.1\r\nhost: a\r\n\r\n', 400],
  ['a target without a slash', 'GET v1/models HTTP/1.1\r\nhost: a\r\n\r\n', 400],
  ['a target that begins with a user', 'GET @evil/ HTTP/1.1\r\nhost: a\r\n\r\n', 400],
  ['a scheme with one slash', 'GET http:/evil/ HTTP/1.1\r\nhost: a\r\n\r\n', 400],
  ['a scheme with a backslash in the host', 'GET http://evil\\@a/ HTTP/1.1\r\nhost: a\r\n\r\n', 400],
  ['bytes beyond ASCII in the target', 'GET /v1/\xe9 HTTP/1.1\r\nhost: a\r\n\r\n', 400],
];

const passed: [name: string, headers: string, body: string, read: string][] = [
  ['a coding behind a tab', 'transfer-encoding:\tchunked', HI, 'hi'],
  ['a coding in capitals', 'Transfer-Encoding: CHUNKED', HI, 'hi'],
  ['a coding that `connection` lists', 'connection: transfer-encoding\r\ntransfer-encoding: chunked', HI, 'hi'],
  ['a length that `connection` lists', 'connection: content-length\r\ncontent-length: 2', 'hi', 'hi'],
  ['a name that only looks like the coding’s', 'transfer_encoding: chunked\r\ncontent-length: 2', 'hi', 'hi'],
  ['a length with blanks around it', 'content-length:   2  ', 'hi', 'hi'],
  ['a length with zeroes before it', 'content-length: 002', 'hi', 'hi'],
  ['chunk extensions', 'transfer-encoding: chunked', '2;a=b;c="d"\r\nhi\r\n0;x\r\n\r\n', 'hi'],
  ['chunk sizes with zeroes before them', 'transfer-encoding: chunked', '0002\r\nhi\r\n000\r\n\r\n', 'hi'],
  ['a trailer', 'transfer-encoding: chunked\r\ntrailer: x-t', '2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n', 'hi'],
  ['a smuggled request as its body', `content-length: ${SMUGGLED.length}`, SMUGGLED, SMUGGLED],
  ['a smuggled request as its chunk', 'transfer-encoding: chunked', CHUNKED, SMUGGLED],
  ['its length behind 900 headers', `${MANY}content-length: ${SMUGGLED.length}`, SMUGGLED, SMUGGLED],
  ['its coding behind 900 headers', `${MANY}transfer-encoding: chunked`, CHUNKED, SMUGGLED],
  ['an expectation', 'expect: 100-continue\r\ncontent-length: 2', 'hi', 'hi'],
  ['an expectation that nobody knows', 'expect: tea\r\ncontent-length: 2', 'hi', 'hi'],
];

describe.each(['/v1/messages', '/v1/files'])('a request to %s', (path) => {
  test.each(refused)('is refused, and nothing behind it is read: %s', async (_, headers, body, status) => {
    expect(await attack(post(path, headers, body))).toEqual({ answers: [`${status}`], seen: [], faults: [] });
  });

  test.each(passed)('is one request upstream, and so is the next: %s', async (_, headers, body, read) => {
    const { answers, ...upstreams } = await attack(post(path, headers, body));

    expect(answers.filter((status) => status !== '100')).toEqual(['200', '200']);
    expect(upstreams).toEqual({ seen: ['GET /next ', `POST ${path} ${read}`], faults: [] });
  });
});

describe('a request', () => {
  test.each(refusedLines)('is refused, and nothing behind it is read: %s', async (_, bytes, status) => {
    expect(await attack(bytes)).toEqual({ answers: [`${status}`], seen: [], faults: [] });
  });

  test.each(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'])(
    'of a method without a body has no other request for one: %s',
    async (method) => {
      const head = `${method} /v1/models HTTP/1.1\r\nhost: a\r\n`;
      const whole = `${head}${MANY}content-length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`;
      const chunked = `${head}${MANY}transfer-encoding: chunked\r\n\r\n${CHUNKED}`;

      const { answers, ...upstreams } = await attack(whole + chunked);

      const one = `${method} /v1/models ${SMUGGLED}`;
      expect(answers).toEqual(['200', '200', '200']);
      expect(upstreams).toEqual({ seen: [one, 'GET /next ', one].sort(), faults: [] });
    },
  );

  test.each(['websocket', 'h2c', 'TLS/1.0'])(
    'for another protocol is one of this, and the last: %s',
    async (protocol) => {
      const upgrade = `connection: upgrade, http2-settings\r\nupgrade: ${protocol}\r\nhttp2-settings: AAMAAABk\r\n`;

      const seen = await attack(post('/v1/messages', `${upgrade}content-length: 2`, 'hi'));

      expect(seen).toEqual({ answers: ['200'], seen: ['POST /v1/messages hi'], faults: [] });
      const { headers } = upstream.requests[0] ?? { headers: [] };
      expect(headers.filter((name) => /upgrade|http2/i.test(name))).toEqual([]);
    },
  );

  test('goes to the upstream with its key, whatever other host or path it speaks of', async () => {
    const elsewhere = await startRawUpstream();
    const { host } = new URL(elsewhere.url);
    const spoken = [
      ...[
        'x-forwarded-host',
        host,
        'x-forwarded-proto',
        'https',
        'x-forwarded-for',
        '127.0.0.1',
        'forwarded',
        `host=${host}`,
      ],
      ...['x-host', host, 'x-original-url', '/admin', 'x-rewrite-url', '/admin', 'x-http-method-override', 'DELETE'],
    ];
    const lines = spoken.map((word, at) => (at % 2 ? `${word}\r\n` : `${word}: `)).join('');

    await talk(
      harness.gateway.url,
      `GET //${host}/v1 HTTP/1.1\r\nhost: ${host}\r\nx-api-key: k\r\n${lines}connection: close\r\n\r\n`,
    );
    await elsewhere.close();

    const [{ target, headers } = { target: '', headers: [] }] = upstream.requests;
    expect([target, elsewhere.requests]).toEqual([`//${host}/v1`, []]);
    expect(headers.slice(0, -2).filter((word) => word !== 'host')).toEqual([
      'x-api-key',
      'k',
      ...spoken,
      new URL(upstream.url).host,
    ]);
  });

  test.each(['authorization', 'x-api-key', 'cookie', 'anthropic-version'])(
    'has no %s upstream where `connection` says that it was for the gateway alone',
    async (name) => {
      const { answers } = await attack(
        `GET /v1/models HTTP/1.1\r\nhost: a\r\n${name}: k\r\nx-kept: k\r\nconnection: x-none, ${name.toUpperCase()}\r\n\r\n`,
      );

      const { headers } = upstream.requests.find(({ target }) => target === '/v1/models') ?? {
        headers: [] as string[],
      };
      expect(answers).toEqual(['200', '200']);
      expect([headers.includes('x-kept'), headers.includes(name)]).toEqual([true, false]);
    },
  );

  test('is answered before what stands behind it is refused, also in the middle of a stream', async () => {
    const rest = Promise.withResolvers<void>();
    upstream.respond = async (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n');
      await rest.promise;
      socket.write('4\r\ndone\r\n0\r\n\r\n');
    };
    const answers = talk(harness.gateway.url, post('/v1/messages', 'content-length: 2', '{}'), 'no request\r\n\r\n');
    await harness.send('/v1/messages/count_tokens', { body: '{}' }).then((response) => {
      rest.resolve();
      return response.text();
    });

    const [, body = '', refusal = ''] = (await answers).split('\r\n\r\n');
    expect(body).toBe('4\r\nhalf\r\n4\r\ndone\r\n0');
    expect(refusal).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('that ends its connection is answered, whatever comes behind it', async () => {
    const head = 'GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';

    expect(await attack(`${head}more`)).toEqual({ answers: ['200'], seen: ['GET /v1/models '], faults: [] });
  });

  test('gets its own answer when many come at once', async () => {
    upstream.respond = (socket, { target }) =>
      void socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${target.length}\r\n\r\n${target}`);
    const targets = Array.from({ length: 20 }, (_, at) => `/v1/files/${at}`);

    const answers = await talk(
      harness.gateway.url,
      targets.map((target) => `GET ${target} HTTP/1.1\r\nhost: a\r\n\r\n`).join('') + NEXT,
    );

    expect(answers.match(/\/v1\/files\/\d+|\/next/g)).toEqual([...targets, '/next']);
  });
});
