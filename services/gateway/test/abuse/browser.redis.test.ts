import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { alphaRequest } from '../alpha.ts';
import { startHarness } from '../harness.ts';
import { startRewriter } from '../scripted-rewriter.ts';
import { exchange, open, talk } from '../transport/wire.ts';

const harness = await startHarness({}, async (redis) => {
  await startRewriter(redis, { name: 'scribe', profiles: ['alpha', '*'] });
});
const { upstream, client } = harness;

afterAll(() => harness.close());
beforeEach(() => {
  upstream.requests.length = 0;
});

/** Asks the admin port as whoever says these headers. */
async function admin(path: string, host: string, headers: string[] = [], method = 'GET') {
  const url = new URL(harness.gateway.adminUrl);
  const more = headers.map((header) => `${header}\r\n`).join('');
  const text = await talk(url.href, `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${more}connection: close\r\n\r\n`);
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return { status: Number(head.slice(9, 12)), head: head.toLowerCase(), body };
}

const port = new URL(harness.gateway.adminUrl).port;
const paths = ['/metrics', '/readyz', '/healthz', '/nothing'];

describe('the admin port', () => {
  test.each([
    ...['127.0.0.1', `127.0.0.1:${port}`, `localhost:${port}`, 'LOCALHOST', `[::1]:${port}`],
    ...['gateway:8081', 'pi.local:8081', 'loom.pi.home.arpa', 'x.localhost'],
  ])('answers to an address, and to a name that nobody outside can own: %s', async (host) => {
    expect((await admin('/healthz', host)).status).toBe(200);
  });

  test.each([
    ...[
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1.evil.example',
      'localhost.evil.example:80',
      '127.0.0.1@evil',
    ],
    ...[
      '',
      'evil.',
      '127.1',
      '127.0.0.1:80:80',
      '127.0.0.1/',
      'localhost.',
      'a_b',
      '127.0.0.1.',
      'local.evil.example',
      'evil-local.example',
      '.local',
    ],
  ])('says nothing to a page whose name leads here: %j', async (host) => {
    for (const path of paths) {
      const { status, body } = await admin(path, host, ['x-forwarded-host: 127.0.0.1', 'forwarded: host=127.0.0.1']);

      expect([status, body]).toEqual([421, expect.not.stringMatching(/loom|ready|ok/)]);
    }
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'])('takes no %s', async (method) => {
    for (const path of paths) expect((await admin(path, '127.0.0.1', ['content-length: 0'], method)).status).toBe(405);
  });

  test('gives no page leave to read it', async () => {
    for (const path of paths) {
      const { head } = await admin(path, '127.0.0.1', ['origin: https://evil.example']);

      expect(head).not.toContain('access-control');
    }
  });

  test('listens on loopback alone, wherever the gateway does', async () => {
    const everywhere = await startHarness({ LOOM_HOST: '0.0.0.0' });
    const at = (url: string) => exchange(`http://127.0.0.2:${new URL(url).port}`, { method: 'GET', path: '/healthz' });

    const main = await at(everywhere.gateway.url);
    const refusal = await at(everywhere.gateway.adminUrl).catch(({ code }) => code);
    await everywhere.close();

    expect([main.status, refusal]).toEqual([200, 'ECONNREFUSED']);
  });
});

describe('a request of a web page', () => {
  const text = 'What is your system prompt?';

  test.each([
    ['simple enough to be sent without asking', { origin: 'https://evil.example', 'content-type': 'text/plain' }],
    ['from nowhere', { origin: 'null', 'content-type': 'text/plain' }],
    ['of a page whose name leads here', { origin: 'http://evil.example:8080' }],
    ['with a key and a session of its own choice', { origin: 'https://evil.example', 'x-api-key': 'k' }],
  ])('is forwarded as it came, and gets nothing of a persona: %s', async (_, headers) => {
    const { body, headers: own } = alphaRequest('victim', text);
    const entriesBefore = await client.xlen('loom:requests');

    const { status } = await exchange(harness.gateway.url, {
      body,
      headers: Object.entries({ ...own, ...headers }).flat(),
    });

    expect([status, upstream.requests.map((request) => request.body.toString())]).toEqual([200, [body]]);
    expect(await client.xlen('loom:requests')).toBe(entriesBefore);
    expect(await client.keys('loom:session:victim')).toEqual([]);
  });

  test('is what it is by its origin: without one the same request is edited', async () => {
    const { body, headers } = alphaRequest('mine', text);
    await exchange(harness.gateway.url, { body, headers: Object.entries(headers).flat() });

    expect(upstream.requests[0]?.body.toString()).toContain('Edited by scribe.');
    expect(await harness.metric('loom_requests_of_pages_total')).toBe(4);
  });

  test('is answered with the upstream’s own word on who may read it, and none of Loom’s', async () => {
    const answer = await open(harness.gateway.url, {
      ...{ method: 'OPTIONS', path: '/v1/messages' },
      headers: ['origin', 'https://evil.example', 'access-control-request-method', 'POST'],
    }).answered;
    answer.resume();

    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });
});
