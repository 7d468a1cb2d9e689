import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { alphaRequest } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import { startRewriter } from '../scripted-rewriter.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness({}, async (redis) => {
    await startRewriter(redis, { name: 'scribe', profiles: ['beta'] });
  });
});
afterAll(() => harness.close());

/** Sends requests in turn; how many reads of Redis were in vain by then. */
async function failedReads(requests: ReturnType<typeof alphaRequest>[]): Promise<number> {
  for (const request of requests) await (await harness.send('/v1/messages', request)).text();
  return harness.metric('loom_redis_reads_failed_total');
}

describe('a frozen Redis', () => {
  test('costs a passthrough session nothing, a session that nobody edits one short read, and then nothing', async () => {
    const passthrough = alphaRequest('p1', 'Hello?', { profile: '' });
    expect(await failedReads([passthrough])).toBe(0);
    harness.redis.freeze();

    expect(await failedReads(Array.from({ length: 5 }, () => passthrough))).toBe(0);

    const texts = ['One.', 'Two.', 'Three.', 'Four.', 'Five.'];
    expect(await failedReads(texts.map((text) => alphaRequest('a1', text)))).toBe(1);
    expect(await failedReads(texts.map((text, at) => alphaRequest(`n${at}`, text)))).toBe(1);

    harness.redis.thaw();
  });
});
