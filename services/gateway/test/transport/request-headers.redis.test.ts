import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { raw } from '@loom/shared/testing/reply.ts';
import { startHarness } from '../harness.ts';
import { exchange, talk, type WireRequest } from './wire.ts';

const harness = await startHarness();
const { upstream } = harness;
upstream.script = () => raw({ status: 200 });

afterAll(() => harness.close());

beforeEach(() => {
  upstream.requests.length = 0;
});

const messages: WireRequest = { path: '/v1/messages?beta=true', body: '{"model":"m","messages":[]}' };
const files: WireRequest = { method: 'PUT', path: '/v1/files', body: '{}' };
const models: WireRequest = { method: 'GET', path: '/v1/models' };

/** The headers as the upstream got them, without this connection's own. */
async function forwarded(headers: string[], wanted = messages): Promise<string[][]> {
  await exchange(harness.gateway.url, { ...wanted, headers });
  const { rawHeaders } = (await upstream.waitFor(1)).at(-1) ?? { rawHeaders: [] };
  const pairs = Array.from({ length: rawHeaders.length / 2 }, (_, at) => rawHeaders.slice(2 * at, 2 * at + 2));
  return pairs.filter(([name]) => !['host', 'connection', 'content-length'].includes(String(name).toLowerCase()));
}

const ways: [name: string, wanted: WireRequest][] = [
  ['a Messages request', messages],
  ['a request with a streamed body', files],
  ['a request without a body', models],
];

describe.each(ways)('the headers of %s', (_, wanted) => {
  test.each([
    ['an API key', ['x-api-key', 'sk-ant-api03-test']],
    ['a bearer token', ['Authorization', 'Bearer sk-ant-oat01-test']],
    ['both', ['X-Api-Key', 'sk-ant-api03-test', 'authorization', 'Bearer sk-ant-oat01-test']],
    ['a custom header', ['X-Corp-Gateway-Auth', 'token=abc; sig=ABC==']],
    ['basic credentials of another proxy', ['Authorization', 'Basic dXNlcjpwYXNz']],
  ])('pass with credentials untouched: %s', async (__, headers) => {
    expect((await forwarded(headers, wanted)).flat()).toEqual(headers);
  });

  test('pass unknown, repeated and empty, in the client’s spelling and order', async () => {
    const headers = [
      ['User-Agent', 'claude-cli/2.1.330 (external, cli)'],
      ['anthropic-beta', 'one-2025-01-01,two-2025-02-02'],
      ['X-Unheard-Of', 'a'],
      ['Accept-Encoding', 'gzip, br, zstd'],
      ['x-empty', ''],
      ['Cookie', 'a=1'],
      ['__proto__', 'x'],
      ['x-claude-code-session-id', '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b'],
      ['X-Latin', 'caf\u00e9'],
      ['anthropic-beta', 'three-2025-03-03'],
      ['ANTHROPIC-BETA', 'four-2025-04-04'],
    ];

    const received = await forwarded(headers.flat(), wanted);

    const betas = ['one-2025-01-01,two-2025-02-02', 'three-2025-03-03', 'four-2025-04-04'];
    expect(received).toEqual([headers[0], ...betas.map((beta) => ['anthropic-beta', beta]), ...headers.slice(2, 9)]);
  });

  test('lose what is Loom’s own, and nothing else', async () => {
    const own = [
      ...['x-loom-profile', 'alpha', 'X-Loom-Anything', 'x', 'X-Machine-Name', 'host', 'x-session-id', 's-1'],
      ...[
        'Traceparent',
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        'tracestate',
        'a=b',
        'baggage',
        'c=d',
      ],
    ];

    expect(await forwarded([...own, 'x-loomish', 'kept', 'x-session-id-2', 'kept'], wanted)).toEqual([
      ['x-loomish', 'kept'],
      ['x-session-id-2', 'kept'],
    ]);
  });

  test('lose what concerns the client’s connection alone', async () => {
    const hop = [
      ...[
        'Keep-Alive',
        'timeout=5',
        'TE',
        'trailers',
        'proxy-connection',
        'keep-alive',
        'Proxy-Authorization',
        'Basic x',
      ],
      ...['x-hop', 'named by connection', 'Connection', 'close, X-Hop'],
    ];

    expect(await forwarded([...hop, 'x-kept', '1'], wanted)).toEqual([['x-kept', '1']]);
  });
});

describe('the headers of a request', () => {
  test('name the upstream as the host, once', async () => {
    await exchange(harness.gateway.url, messages);

    const { rawHeaders } = (await upstream.waitFor(1))[0] ?? { rawHeaders: [] };
    const at = rawHeaders.findIndex((name) => name.toLowerCase() === 'host');
    expect(rawHeaders.filter((name) => name.toLowerCase() === 'host')).toHaveLength(1);
    expect(rawHeaders[at + 1]).toBe(new URL(upstream.url).host);
  });

  test('cannot hide a body’s end behind `connection`, so that it would read as a second request', async () => {
    const smuggled = 'GET /v1/smuggled HTTP/1.1\r\nhost: a\r\n\r\n';
    const head = 'GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close, content-length\r\n';

    await talk(harness.gateway.url, `${head}content-length: ${smuggled.length}\r\n\r\n${smuggled}`);

    expect(upstream.requests.map(({ url, body }) => [url, body.toString()])).toEqual([['/v1/models', smuggled]]);
  });

  test('end the client’s connection when it says so, and only then', async () => {
    const head = 'GET /v1/models HTTP/1.1\r\nhost: a\r\n';

    const answers = await talk(harness.gateway.url, `${head}\r\n${head}connection: close\r\n\r\n`);

    expect(answers.match(/^(HTTP\/1\.1 200|connection: [\w-]+)/gim)).toEqual([
      'HTTP/1.1 200',
      'Connection: keep-alive',
      'HTTP/1.1 200',
      'Connection: close',
    ]);
  });
});
