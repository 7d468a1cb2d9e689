import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { gatewayIsReady, RedisUnreachableError, redisAnswers } from '../up/readiness.ts';

const never = new AbortController().signal;
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const resource of opened.splice(0)) await resource.close();
});

describe('redisAnswers', () => {
  test('resolves when Redis answers', async () => {
    const server = await startRedis();
    opened.push(server);

    await redisAnswers(server.url, 5_000, never);
  });

  test('names the Redis that does not answer, and not its password', async () => {
    const port = await freePort();

    const answered = redisAnswers(`redis://:secret@127.0.0.1:${port}`, 200, never);

    await expect(answered).rejects.toThrow(RedisUnreachableError);
    await expect(answered).rejects.toThrow(
      /^Redis at 127\.0\.0\.1:\d+ does not answer: connect ECONNREFUSED 127\.0\.0\.1:\d+$/,
    );
  });

  test('gives up when it is stopped', async () => {
    const stop = new AbortController();
    const answered = redisAnswers(`redis://127.0.0.1:${await freePort()}`, 60_000, stop.signal);

    stop.abort();

    await expect(answered).rejects.toThrow('aborted');
  });
});

describe('gatewayIsReady', () => {
  test('resolves with the first 200, and tells once what kept it waiting', async () => {
    const waits: string[] = [];
    let asked = 0;
    const gateway = createServer((_, response) => {
      asked += 1;
      response.writeHead(asked < 4 ? 503 : 200).end('redis: away');
    }).listen(0, '127.0.0.1');
    opened.push(gateway);
    await once(gateway, 'listening');
    const { port } = gateway.address() as { port: number };

    await gatewayIsReady(`http://127.0.0.1:${port}/readyz`, { patienceMs: 0, onWait: (why) => waits.push(why) }, never);

    expect(waits).toEqual(['503 redis: away']);
    expect(asked).toBe(4);
  });

  test('gives up when it is stopped', async () => {
    const stop = new AbortController();
    const url = `http://127.0.0.1:${await freePort()}/readyz`;
    const ready = gatewayIsReady(url, { patienceMs: 60_000, onWait: () => {} }, stop.signal);

    stop.abort();

    await expect(ready).rejects.toThrow('aborted');
  });
});
