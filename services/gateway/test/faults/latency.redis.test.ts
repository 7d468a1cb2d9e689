import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { alphaRequest } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import { startRewriter } from '../scripted-rewriter.ts';

/** No answer of a frozen Redis is ever this quick, and no request on a busy machine this slow: the reads take 50 ms. */
const UNHELD_MS = 45;

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness({}, async (redis) => {
    await startRewriter(redis, { name: 'scribe', profiles: ['beta'] });
  });
});
afterAll(() => harness.close());

/** The quickest of several requests: what it cannot go below is what Loom adds. */
async function quickestMs(requests: { headers: Record<string, string>; body: string }[]): Promise<number> {
  const durations: number[] = [];
  for (const request of requests) {
    const startedMs = performance.now();
    await (await harness.send('/v1/messages', request)).text();
    durations.push(performance.now() - startedMs);
  }
  return Math.min(...durations);
}

describe('a frozen Redis', () => {
  test('costs a passthrough session nothing, a session that nobody edits one short read, and then nothing', async () => {
    const passthrough = alphaRequest('p1', 'Hello?', { profile: '' });
    await quickestMs([passthrough]);
    harness.redis.freeze();

    const failedReads = async () => (await harness.metric('loom_redis_reads_failed_total')) ?? 0;
    expect(await quickestMs(Array.from({ length: 5 }, () => passthrough))).toBeLessThan(UNHELD_MS);
    expect(await failedReads()).toBe(0);

    const texts = ['One.', 'Two.', 'Three.', 'Four.', 'Five.'];
    expect(await quickestMs(texts.map((text) => alphaRequest('a1', text)))).toBeLessThan(UNHELD_MS);
    expect(await quickestMs(texts.map((text, at) => alphaRequest(`n${at}`, text)))).toBeLessThan(UNHELD_MS);
    expect(await failedReads()).toBe(1);

    harness.redis.thaw();
  });
});
