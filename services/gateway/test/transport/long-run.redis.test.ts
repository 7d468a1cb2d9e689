import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { json, sse } from '@loom/shared/testing/reply.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { startGatewayProcess } from './gateway-process.ts';
import { exchange } from './wire.ts';

const redis = await startRedis();
const upstream = await startUpstream(({ ordinal }) => (ordinal % 2 ? sse() : json()));
const spool = await mkdtemp(join(tmpdir(), 'loom-spool-'));
const gateway = await startGatewayProcess({
  ...{ REDIS_URL: redis.url, LOOM_UPSTREAM_URL: upstream.url, LOOM_SPOOL_DIR: spool },
});

afterAll(async () => {
  await upstream.close();
  await redis.close();
  await rm(spool, { recursive: true, force: true });
});

describe('a gateway in use', () => {
  test('leaks no listener over 100 requests of 1 MB on one connection: Node has nothing to warn of', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const text = 'x'.repeat(1_048_576);
    const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: text }] });

    for (let round = 0; round < 100; round++) {
      expect((await exchange(gateway.url, { body, agent })).status).toBe(200);
      if (round % 2) await exchange(gateway.url, { method: 'PUT', path: '/v1/files', body: 'x', agent });
    }

    agent.destroy();
    expect(await gateway.stop()).toBe(0);
    expect(gateway.written.stderr).toBe('');
  });
});
