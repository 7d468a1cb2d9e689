import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import { type ScriptedRewriter, startRewriter } from '../scripted-rewriter.ts';

let harness: Harness;
let rewriter: ScriptedRewriter;

beforeEach(async () => {
  harness = await startHarness({ LOOM_EXPECTED_REWRITERS: 'scribe,painter' }, async (redis) => {
    rewriter = await startRewriter(redis, { name: 'scribe' });
    await startRewriter(redis, { name: 'painter', profiles: ['beta'] });
  });
});
afterEach(() => harness.close());

async function ask(path: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${harness.gateway.adminUrl}${path}`);
  return { status: response.status, body: await response.json() };
}

const READY = { status: 200, body: { status: 'ready', reasons: [], notes: [] } };
const degraded = (...reasons: string[]) => ({ status: 503, body: { status: 'degraded', reasons, notes: [] } });
const NO_REDIS = 'Redis does not answer: events go to the spool, nothing new is edited';
const NO_SCRIBE = 'scribe has not announced itself: requests go out without its edits';

async function untilEqual(expected: unknown): Promise<void> {
  await until(async () => JSON.stringify(await ask('/readyz')) === JSON.stringify(expected));
}

describe('the admin port', () => {
  test('is ready while Redis answers and the expected rewriters are alive', async () => {
    expect(await ask('/readyz')).toEqual(READY);
  });

  test('says which expected rewriter is not there, until it is', async () => {
    await rewriter.withdraw();
    await untilEqual(degraded(NO_SCRIBE));

    await rewriter.announce();
    await untilEqual(READY);
  });

  test('says that Redis is away and how many events wait, and is healthy all the same', async () => {
    await harness.redis.kill();
    await harness.send('/v1/messages', alphaRequest('s1', 'Hello?', { profile: 'gamma' }));
    await untilEqual(degraded(NO_REDIS, '3 events wait in the spool'));
    expect(await ask('/healthz')).toEqual({ status: 200, body: { status: 'ok' } });

    await harness.redis.start();
    await rewriter.announce();
    await until(async () => (await harness.events('responses', 'response.completed')).length === 1);
  });

  test('counts requests by class and profile, edits by rewriter and outcome, and no session', async () => {
    await harness.send('/v1/messages', alphaRequest('a-session', 'Hello?'));
    await harness.send('/v1/messages', alphaRequest('a-session', 'Hello?', { class: 'auxiliary' }));
    await until(async () => (await harness.metric('loom_exchanges_active')) === 0);

    const text = await (await fetch(`${harness.gateway.adminUrl}/metrics`)).text();

    expect(text).not.toContain('a-session');
    expect([
      await harness.metric('loom_requests_total', { class: 'main', profile: 'alpha' }),
      await harness.metric('loom_requests_total', { class: 'auxiliary', profile: 'alpha' }),
      await harness.metric('loom_exchanges_ended_total', { reason: 'complete' }),
      await harness.metric('loom_edits_total', { rewriter: 'scribe', outcome: 'applied' }),
      await harness.metric('loom_request_held_count'),
    ]).toEqual([1, 1, 2, 1, 1]);
  });
});
