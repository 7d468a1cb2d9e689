import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from '@jest/globals';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { apiError, raw } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { Redis } from 'ioredis';
import { newRequest } from './ending.ts';
import { startGatewayProcess } from './gateway-process.ts';
import { exchange, listen } from './wire.ts';

const redis = await startRedis();
const client = new Redis(redis.url);
const upstream = await startUpstream();
const spool = await mkdtemp(join(tmpdir(), 'loom-spool-'));
let exported = '';
const collector = await listen(async (request, response) => {
  const sent = await buffer(request);
  exported += request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
  response.end();
});
const gateway = await startGatewayProcess({
  ...{ REDIS_URL: redis.url, LOOM_UPSTREAM_URL: upstream.url, LOOM_SPOOL_DIR: spool, LOG_LEVEL: 'debug' },
  ...{ LOOM_MAX_BODY_BYTES: '2000', LOOM_UPSTREAM_IDLE_MS: '500', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url },
});

afterAll(async () => {
  await collector.close();
  await upstream.close();
  await redis.close();
  await rm(spool, { recursive: true, force: true });
});

/** Of no form that a filter could know, each in a place of its own. */
const keys = Array.from({ length: 9 }, (_, at) => `k3y-${at}-7f3a9c5e`);
const [apiKey, bearer, basic, custom, cookie, proxy, query, echoed, reason] = keys as [string, ...string[]];
const headers = [
  ...['x-api-key', apiKey, 'authorization', `Bearer ${bearer}`, 'X-Corp-Auth', `${custom}`, 'cookie', `id=${cookie}`],
  ...['proxy-authorization', `Basic ${proxy}`, 'x-auth-basic', `Basic ${basic}`],
];

/** Whatever is in Redis, every key with its value. */
async function dump(): Promise<string> {
  const read: Record<string, (key: string) => Promise<unknown>> = {
    stream: (key) => client.xrange(key, '-', '+'),
    hash: (key) => client.hgetall(key),
    set: (key) => client.smembers(key),
    list: (key) => client.lrange(key, 0, -1),
    zset: (key) => client.zrange(key, '0', '-1'),
    string: (key) => client.get(key),
  };
  const found = await Promise.all(
    (await client.keys('*')).map(async (key) => [key, await read[await client.type(key)]?.(key)]),
  );
  return JSON.stringify(found);
}

/** Every kind of exchange once, with every key in its place; the sessions of those that are told of. */
async function tryEverything(): Promise<string[]> {
  const told: string[] = [];
  const refusal = apiError(401, 'authentication_error', `invalid x-api-key: ${echoed}`, { 'x-echo': `${echoed}` });
  const scripts = [
    () => refusal,
    () => raw({ status: 502, chunks: [Buffer.from(`<html>${echoed}</html>`)] }),
    () => raw({ status: 200, chunks: [Buffer.from(`{"error":{"type":"${reason}","message":"${echoed}"}}`)] }),
    () =>
      raw({
        status: 200,
        headers: [['content-type', 'text/event-stream']],
        chunks: [Buffer.from(`data: ${echoed}\n\n`)],
        cutAfter: 'reset' as const,
      }),
    () => raw({ cutAfter: 'silence' as const }),
  ];
  for (const script of scripts) {
    upstream.script = script;
    const { session, ...wanted } = newRequest(headers);
    const path = `?key=${query}`;
    await exchange(gateway.url, { ...wanted, path: `/v1/messages${path}` }).catch(() => {});
    await exchange(gateway.url, { ...wanted, path: `/v1/messages/count_tokens${path}` }).catch(() => {});
    await exchange(gateway.url, { ...wanted, path: `/v1/other${path}` }).catch(() => {});
    await exchange(gateway.url, { ...wanted, path: `//${query}${path}`, method: 'GET' }).catch(() => {});
    told.push(session);
  }
  const tooLong = { ...newRequest(headers), body: 'x'.repeat(3_000), path: `/v1/messages?key=${query}` };
  await exchange(gateway.url, tooLong);
  return told;
}

const leaked = (text: string) => keys.filter((key) => text.includes(key));

describe('a credential', () => {
  test('reaches the upstream, and is found in no event, record, log line, spooled event or span', async () => {
    const sessions = await tryEverything();
    const received = upstream.requests.map(({ rawHeaders, url }) => rawHeaders.concat(url).join('\n'));
    await until(async () => ((await dump()).match(/"response\.failed"/g) ?? []).length === sessions.length);
    const inRedis = await dump();
    client.disconnect();
    await redis.kill();
    const later = await tryEverything();
    const spooled = async () => {
      const files = await readdir(spool);
      return (await Promise.all(files.map((name) => readFile(join(spool, name), 'utf8')))).join('');
    };
    await until(async () => ((await spooled()).match(/"response\.failed"/g) ?? []).length === later.length);
    const onDisk = await spooled();
    const code = await gateway.stop();

    // The places were really looked into: each knows the sessions.
    for (const session of sessions) expect([inRedis, exported].every((text) => text.includes(session))).toBe(true);
    for (const session of later) expect([onDisk, exported].every((text) => text.includes(session))).toBe(true);
    // Each exchange's span has ended, once.
    expect(exported.match(/POST \/v1\/messages/g)).toHaveLength(sessions.length + later.length);
    expect(gateway.written.stdout).toContain('"level":"debug"');
    expect(gateway.written.stdout).toContain('the upstream did not answer');
    expect(leaked(received.join('\n')).sort()).toEqual([apiKey, bearer, basic, custom, cookie, query].sort());
    expect({
      ...{ redis: leaked(inRedis), disk: leaked(onDisk), spans: leaked(exported) },
      ...{ log: leaked(gateway.written.stdout), errors: gateway.written.stderr, code },
    }).toEqual({ redis: [], disk: [], spans: [], log: [], errors: '', code: 0 });
  });
});
