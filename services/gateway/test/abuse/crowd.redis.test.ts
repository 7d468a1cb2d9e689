import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { startGatewayProcess } from '../transport/gateway-process.ts';
import { exchange } from '../transport/wire.ts';

const KILOBYTE = 1_024;
const MEGABYTE = 1_024 * KILOBYTE;
const redis = await startRedis();
const upstream = await startUpstream();
const spool = await mkdtemp(join(tmpdir(), 'loom-spool-'));
const gateway = await startGatewayProcess({
  ...{ REDIS_URL: redis.url, LOOM_UPSTREAM_URL: upstream.url, LOOM_SPOOL_DIR: spool },
  NODE_OPTIONS: '--max-old-space-size=256',
});
const sockets: Socket[] = [];

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await gateway.stop();
  await upstream.close();
  await redis.close();
  await rm(spool, { recursive: true, force: true });
});

async function connectMany(count: number): Promise<Socket[]> {
  const { hostname, port } = new URL(gateway.url);
  const opened = Array.from({ length: count }, () => connect(Number(port), hostname).on('error', () => {}));
  sockets.push(...opened);
  await Promise.all(opened.map((socket) => once(socket, 'connect')));
  return opened;
}

/** The most memory that the gateway has had so far, bytes. */
async function peakBytes(): Promise<number> {
  const status = await readFile(`/proc/${gateway.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * KILOBYTE;
}

const ask = () => exchange(gateway.url, { body: '{"model":"m","messages":[{"role":"user","content":"Hello."}]}' });
const head = `POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: ${64 * MEGABYTE}\r\n\r\n`;

describe('a gateway with a heap of 256 MB', () => {
  test('answers beside 1,000 connections that ask nothing', async () => {
    await connectMany(1_000);

    expect((await ask()).status).toBe(200);
  });

  test('answers beside 500 bodies under way, refuses what is too much of them, and stays within its bounds', async () => {
    const clients = await connectMany(500);
    let refused = 0;
    for (const client of clients) {
      client.once('data', (answer) => {
        if (String(answer).startsWith('HTTP/1.1 503 ')) refused++;
      });
      client.write(head);
      client.write(Buffer.alloc(256 * KILOBYTE, 0x20));
    }
    const whileUnderWay = await ask();
    for (const client of clients) client.write(Buffer.alloc(256 * KILOBYTE, 0x20));
    await until(() => refused > 0);
    const afterwards = await ask();

    expect([whileUnderWay.status, afterwards.status]).toEqual([200, 200]);
    expect(refused).toBeLessThan(500);
    // What the container and the unit of systemd allow.
    expect(await peakBytes()).toBeLessThan(512 * MEGABYTE);
  });

  test('takes from the upstream no more than a client reads', async () => {
    const piece = Buffer.alloc(MEGABYTE, 0x2e);
    upstream.script = () => ({ status: 200, headers: [], chunks: Array.from({ length: 64 }, () => piece) });
    const [client] = (await connectMany(1)) as [Socket];
    client.pause().write('POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}');
    const request = (await upstream.waitFor(upstream.requests.length + 1)).at(-1);
    upstream.script = () => ({ status: 200, headers: [], chunks: [] });
    for (let round = 0; round < 20; round++) await ask();

    // It would have been finished long before: nothing but the client holds it up.
    expect(request?.outcome).toBe('open');
  });
});
