import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { raw } from '@loom/shared/testing/reply.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { startHarness } from '../harness.ts';
import { exchange } from './wire.ts';

const harness = await startHarness();
const elsewhere = await startUpstream();
const { upstream } = harness;

afterAll(async () => {
  await harness.close();
  await elsewhere.close();
});

beforeEach(() => {
  upstream.requests.length = 0;
  upstream.script = () => raw({ status: 200, headers: [['content-length', '0']] });
});

const evil = elsewhere.url.replace('http://', '');

/** What the upstream got: method, target, host and body. */
function received() {
  return upstream.requests.map(({ method, url, headers, body }) => [method, url, headers.host, body.toString()]);
}

describe('the target of a request', () => {
  test.each([
    ['a query in its order, with repetitions', '/v1/messages?beta=true&b=2&a=1&b=1&empty=&flag'],
    ['encoded slashes and dots', '/v1/files/a%2Fb/%2e%2e/c'],
    ['dot segments', '/v1/../v1/./models'],
    ['case and trailing slash', '/V1/Messages/'],
    ['broken percent signs', '/v1/%zz/%'],
    ['characters that need quoting', '/v1/a|b{c}^[d]`"<>\\e?q={"a":[1]}'],
    ['the root', '/'],
    ['two slashes', '//'],
    ['a path that looks like a host', `//${evil}/v1/messages`],
    ['a path that looks like a URL', `/${elsewhere.url}/v1/messages`],
    ['a path that looks like a broken host', '//[/v1'],
    ['a user in front of a host', `//user@${evil}/`],
    ['backslashes', `/\\${evil}/v1`],
    ['a question mark alone', '/v1/messages?'],
    ['8 KB of it', `/v1/models?q=${'x'.repeat(8_000)}`],
  ])('goes to the upstream unchanged: %s', async (_, path) => {
    const answer = await exchange(harness.gateway.url, { method: 'GET', path });

    expect(answer.status).toBe(200);
    expect(received()).toEqual([['GET', path, new URL(upstream.url).host, '']]);
    expect(elsewhere.requests).toEqual([]);
  });

  test.each([
    ['with a path', `${elsewhere.url}/v1/models?x=1`, '/v1/models?x=1'],
    ['of a Messages request', `${elsewhere.url}/v1/messages`, '/v1/messages'],
    ['without a path', elsewhere.url, '/'],
    ['with a query alone', `${elsewhere.url}?x=1`, '/?x=1'],
    ['with a user', `http://user:secret@${evil}/v1`, '/v1'],
    ['of an unknown scheme', `gopher://${evil}/v1`, '/v1'],
  ])('names a host in vain in the absolute form: %s', async (_, target, path) => {
    const answer = await exchange(harness.gateway.url, { path: target, body: '{}' });

    expect(answer.status).toBe(200);
    expect(received()).toEqual([['POST', path, new URL(upstream.url).host, '{}']]);
    expect(elsewhere.requests).toEqual([]);
  });

  test('may be the server itself', async () => {
    await exchange(harness.gateway.url, { method: 'OPTIONS', path: '*' });

    expect(received()).toEqual([['OPTIONS', '*', new URL(upstream.url).host, '']]);
  });

  test('comes behind the path of the upstream’s own address', async () => {
    const behindPath = await startHarness({ LOOM_UPSTREAM_URL: `${upstream.url}/base/` });
    await exchange(behindPath.gateway.url, { method: 'GET', path: '/v1/models?x=1' });
    await exchange(behindPath.gateway.url, { method: 'GET', path: '//x' });
    await behindPath.close();

    expect(upstream.requests.map(({ url }) => url)).toEqual(['/base/v1/models?x=1', '/base//x']);
  });
});

describe('the method of a request', () => {
  test.each(['GET', 'HEAD', 'OPTIONS', 'DELETE', 'PROPFIND'])('passes without a body: %s', async (method) => {
    const answer = await exchange(harness.gateway.url, { method, path: '/v1/messages' });

    expect(answer.status).toBe(200);
    expect(received()).toEqual([[method, '/v1/messages', new URL(upstream.url).host, '']]);
  });

  test.each(['GET', 'OPTIONS', 'DELETE', 'PUT', 'PATCH', 'PROPFIND'])('passes with a body: %s', async (method) => {
    const whole = await exchange(harness.gateway.url, { method, path: '/v1/files/1', body: '{"a": 1.0}' });
    const pieces = [Buffer.from('{"a":'), Buffer.from(' 1.0}')];
    const chunked = await exchange(harness.gateway.url, { method, path: '/v1/files/2', body: pieces });

    expect([whole.status, chunked.status]).toEqual([200, 200]);
    const { host } = new URL(upstream.url);
    expect(received()).toEqual([
      [method, '/v1/files/1', host, '{"a": 1.0}'],
      [method, '/v1/files/2', host, '{"a": 1.0}'],
    ]);
  });

  test('keeps the length that an answer to HEAD tells', async () => {
    upstream.script = () => raw({ status: 200, headers: [['content-length', '1234']] });

    const answer = await exchange(harness.gateway.url, { method: 'HEAD', path: '/v1/files/1/content' });

    expect([answer.headers['content-length'], answer.body.length]).toEqual(['1234', 0]);
  });
});
