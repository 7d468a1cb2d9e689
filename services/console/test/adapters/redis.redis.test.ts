import { afterAll, describe, expect, test } from '@jest/globals';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { withRedis } from '../../src/adapters/redis.ts';
import { Complaint } from '../../src/complaint.ts';

const server = await startRedis();
afterAll(() => server.close());

/** What becomes of a question that is asked after something has happened to Redis. */
async function askAfter(happens: () => unknown): Promise<unknown> {
  const place = { url: server.url, patience: 'fail-fast', tell: () => {} } as const;
  return withRedis(place, async (redis) => {
    await happens();
    return redis.incr('tea');
  }).catch((error: unknown) => error);
}

describe('withRedis', () => {
  test('gives back what Redis answers', async () => {
    expect(await askAfter(() => {})).toBe(1);
  });

  test.each([
    ['is frozen', () => server.freeze(), /went away: Command timed out$/],
    ['is gone', () => server.kill(), /went away: /],
    ['refuses', () => server.client().hset('tea', 'cups', '2'), /refuses: WRONGTYPE /],
  ])('says in one sentence that Redis %s in the middle of a command', async (_, happens, expected) => {
    const complaint = await askAfter(happens);
    server.thaw();
    await server.start();
    await server.client().del('tea');

    expect(complaint).toBeInstanceOf(Complaint);
    expect((complaint as Complaint).message).toMatch(
      new RegExp(`^Redis at 127\\.0\\.0\\.1:${server.port} ${expected.source}`),
    );
  });

  test('leaves an error that is not of Redis as it is', async () => {
    const bug = new TypeError('tea');

    expect(await askAfter(() => Promise.reject(bug))).toBe(bug);
  });
});
