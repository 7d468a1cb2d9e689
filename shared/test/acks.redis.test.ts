import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { Acks } from '../src/acks.ts';
import { type Bed, openBed } from './fixtures/bed.ts';

let server: RedisServer;
let bed: Bed;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  bed = await openBed(server);
});
afterEach(() => bed.close());

/** Entries of a stream that the group `echo` was given and has not acknowledged. */
async function given(stream: string, count: number): Promise<{ key: string; ids: string[] }> {
  const { redis } = bed.streams;
  const key = bed.streams.key(stream);
  await redis.xgroup('CREATE', key, 'echo', '0', 'MKSTREAM');
  const ids = await Promise.all(Array.from({ length: count }, () => redis.xadd(key, '*', 'a', 'b')));
  await redis.xreadgroup('GROUP', 'echo', 'echo-1', 'STREAMS', key, '>');
  return { key, ids: ids as string[] };
}

const commands = async () => /cmdstat_xack:calls=(\d+)/.exec(await bed.streams.redis.info('commandstats'))?.[1];

describe('Acks', () => {
  test('acknowledges what comes together by one command for each stream, and says when Redis has it', async () => {
    const requests = await given('requests', 3);
    const responses = await given('responses', 1);
    await bed.streams.redis.config('RESETSTAT');
    const acks = new Acks(bed.streams, 'echo');

    await Promise.all([requests, responses].flatMap(({ key, ids }) => ids.map((id) => acks.add(key, id))));

    expect(await bed.pending('requests', 'echo')).toBe(0);
    expect(await bed.pending('responses', 'echo')).toBe(0);
    expect(await commands()).toBe('2');
  });

  test('rejects for each of them when Redis does not take it, and takes the next', async () => {
    const { key, ids } = await given('requests', 2);
    const acks = new Acks(bed.streams, 'echo');
    await bed.streams.redis.set(bed.streams.key('responses'), 'no stream');

    const refused = ids.map((id) => acks.add(bed.streams.key('responses'), id));
    const settled = await Promise.allSettled(refused);

    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await Promise.all(ids.map((id) => acks.add(key, id)));
    expect(await bed.pending('requests', 'echo')).toBe(0);
  });
});
