import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { type OtlpReceiver, startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { apiError, cutMidStream, json, type Reply, raw, sse } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream, type Upstream } from '@loom/shared/testing/upstream.ts';
import { startGatewayProcess } from '../../../gateway/test/transport/gateway-process.ts';
import { exchange } from '../../../gateway/test/transport/wire.ts';
import { talker } from './world.ts';

type Gateway = Awaited<ReturnType<typeof startGatewayProcess>>;
const NAMES = ['off', 'on', 'away', 'hanging', 'broken'] as const;

/** Makes every capture of this word throw. */
const BOMB = `const { toWellFormed } = String.prototype;
String.prototype.toWellFormed = function () {
  if (this.includes('a-capture-bomb')) throw new Error('a capture that throws');
  return toWellFormed.call(this);
};`;

let redis: RedisServer;
let upstream: Upstream;
let collector: OtlpReceiver;
let silent: OtlpReceiver;
let spool: string;
let gateways: Record<(typeof NAMES)[number], Gateway>;

beforeAll(async () => {
  [redis, upstream, collector, silent] = await Promise.all([
    startRedis(),
    startUpstream(),
    startOtlpReceiver(),
    startOtlpReceiver(),
  ]);
  silent.state = 'hanging';
  spool = await mkdtemp(join(tmpdir(), 'loom-harmless-'));
  const endpoint = (url: string) => ({
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SERVICE_NAME: 'gateway' },
    // The exporter by itself would wait for a collector, and try again, for so long.
    OTEL_EXPORTER_OTLP_TIMEOUT: '600000',
    // A metric that is not taken would be told of first, and all else a minute later.
    OTEL_METRICS_EXPORTER: 'none',
    OTEL_BSP_MAX_QUEUE_SIZE: '256',
  });
  const settings: Record<(typeof NAMES)[number], Record<string, string>> = {
    off: {},
    on: endpoint(collector.url),
    away: endpoint(`http://127.0.0.1:${await freePort()}`),
    hanging: endpoint(silent.url),
    broken: { ...endpoint(collector.url), NODE_OPTIONS: `--import "data:text/javascript,${encodeURIComponent(BOMB)}"` },
  };
  const started = await Promise.all(
    NAMES.map(async (name) => {
      const own = { LOOM_KEY_PREFIX: `{${name}}`, LOOM_SPOOL_DIR: join(spool, name), ...settings[name] };
      const shared = { REDIS_URL: redis.url, LOOM_UPSTREAM_URL: upstream.url };
      return [name, await startGatewayProcess({ ...shared, ...own })] as const;
    }),
  );
  gateways = Object.fromEntries(started) as typeof gateways;
});
afterAll(async () => {
  await Promise.all(Object.values(gateways).map((gateway) => gateway.stop()));
  await Promise.all([upstream.close(), collector.close(), silent.close(), redis.close()]);
  await rm(spool, { recursive: true, force: true });
});

/** The answer as it stood on the wire, what broke off included. */
async function bytesFrom(url: string, { path, headers, body }: ClientRequest): Promise<unknown> {
  const sent = Object.entries(headers).flat();
  const answered = exchange(url, { path, headers: sent, body });
  const {
    status,
    rawHeaders,
    body: bytes,
  } = await answered.catch((error: Error) => ({
    ...{ status: error.message, rawHeaders: [], body: Buffer.alloc(0) },
  }));
  return [status, rawHeaders, bytes.toString('base64')];
}

const REPLIES: [string, () => Reply][] = [
  ['a stream, byte by byte', () => sse({ thinking: 'Hm.', text: 'a-capture-bomb → 🌱', chunking: 'byte' })],
  ['a compressed stream', () => sse({ text: 'a-capture-bomb', encoding: 'zstd' })],
  ['a message', () => json({ text: 'a-capture-bomb', headers: { 'x-odd': 'kept' } })],
  ['an error', () => apiError(529, 'overloaded_error', 'a-capture-bomb')],
  ['no JSON at all', () => raw({ status: 200, chunks: [Buffer.from([0, 255, 10, 13, 128])] })],
  ['a stream that breaks off', () => cutMidStream(5, 'reset', { text: 'a-capture-bomb, and then nothing.' })],
];

/** How many requests each gateway gets that has a collector, or should have one. */
const LOAD = 100;

describe('what telemetry does', () => {
  test.each(REPLIES)('changes no byte, be it off, on, without a collector, or broken: %s', async (name, reply) => {
    upstream.script = reply;
    const request = talker(name).prompt('A prompt with a-capture-bomb in it.');
    const direct = await bytesFrom(upstream.url, request);
    const before = upstream.requests.length;

    const answers = [];
    for (const gateway of NAMES) answers.push(await bytesFrom(gateways[gateway].url, request));

    expect(answers).toEqual(NAMES.map(() => direct));
    const forwarded = upstream.requests.slice(before).map(({ rawHeaders, sha256, url }) => [url, rawHeaders, sha256]);
    expect(forwarded).toEqual(NAMES.map(() => forwarded[0]));
  });

  test('was under way all the time, and captures did throw', async () => {
    const { stdout } = gateways.broken.written;
    const adminPort = /"adminPort":(\d+)/.exec(stdout)?.[1];
    const metrics = async () => (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();

    await until(async () => /loom_captures_total\{outcome="failed"[^}]*\} [1-9]/.test(await metrics()));
    await until(() => collector.spans.length > 0 && silent.untaken > 0);
  });

  test('holds no request while the collector is away, and keeps no more than it may: what it loses is counted and told', async () => {
    upstream.script = () => json({ text: 'Seven.' });
    const names = ['on', 'away', 'hanging'] as const;
    const { path, headers, body } = talker('load').prompt('How many?');
    const ask = async (name: (typeof names)[number]) => {
      const response = await fetch(gateways[name].url + path, { method: 'POST', headers, body: new Uint8Array(body) });
      await response.arrayBuffer();
    };
    // Of one exchange there are five spans: 256 wait at most, and as many as a batch takes are under way.
    for (let at = 0; at < LOAD / 10; at += 1)
      await Promise.all(names.flatMap((name) => Array.from({ length: 10 }, () => ask(name))));

    // Told once a minute, and at first perhaps of a try that had lost nothing yet.
    await until(() => droppedBy('away') > 0 && droppedBy('hanging') > 0, { withinMs: 200_000 });
  }, 240_000);

  test('ends with the process: everything is sent where there is a collector, and nobody is waited for otherwise', async () => {
    const spans = () =>
      collector.spans.filter(({ name, service }) => service === 'gateway' && name.startsWith('loom: POST'));
    const { on, broken, ...others } = gateways;
    const codes = await Promise.all([on, broken].map((gateway) => gateway.stop()));
    const slow = await Promise.all(Object.values(others).map((gateway) => gateway.stop()));

    expect([...codes, ...slow]).toEqual([0, 0, 0, 0, 0]);
    expect(spans()).toHaveLength(2 * REPLIES.length + LOAD);
  });
});

/** How many spans and log records a gateway's log says were lost. */
function droppedBy(name: keyof typeof gateways): number {
  const lines = gateways[name].written.stdout.split('\n').filter((line) => line.includes('telemetry is not exported'));
  return lines.reduce((sum, line) => sum + JSON.parse(line).dropped, 0);
}
