import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import { appends, type ScriptedRewriter, startRewriter } from '../scripted-rewriter.ts';

const HOLD_MS = 250;

let harness: Harness;
let hung: ScriptedRewriter;
let serial = 0;

beforeAll(async () => {
  harness = await startHarness({ LOOM_EXPECTED_REWRITERS: 'hung' }, async (redis) => {
    hung = await startRewriter(redis, { name: 'hung', holdMs: HOLD_MS, behaviour: () => [] });
  });
});
afterAll(() => harness.close());

/** Sends a request of a new session; what became of it, and whether it was held for the whole of the deadline. */
async function send() {
  const session = `s${++serial}`;
  await harness.send('/v1/messages', alphaRequest(session, 'Hello?'));
  const event = await harness.eventOf('responses', 'request.forwarded', session);
  const { edits, heldMs } = event.data;
  return { outcome: edits[0]?.outcome, isHeld: heldMs >= HOLD_MS - 5, isHeldAtAll: heldMs > 0 };
}

const late = { outcome: 'late', isHeld: true, isHeldAtAll: true };
const skipped = { outcome: 'skipped', isHeld: false, isHeldAtAll: false };
/** Of several requests at the same time at most one asks, and only when a slow machine let the pause pass. */
async function expectSkipped(): Promise<void> {
  const burst = await Promise.all([send(), send(), send(), send()]);
  const others = burst.filter(({ outcome }) => outcome !== 'late');
  expect(others.length).toBeGreaterThanOrEqual(3);
  expect(others).toEqual(others.map(() => skipped));
}

const readiness = async () => (await fetch(`${harness.gateway.adminUrl}/readyz`)).json();

describe('a rewriter that does not answer', () => {
  test('is skipped after three misses, at no cost; then asked by one request at a time until it answers', async () => {
    const misses = [await send(), await send(), await send()];
    expect(misses).toEqual([late, late, late]);

    await expectSkipped();
    expect(await readiness()).toEqual({
      status: 'ready',
      reasons: [],
      notes: ['hung did not answer in time: it is skipped until it does'],
    });

    const askedBefore = hung.questions.length;
    await until(async () => (await send()).outcome === 'late');
    await expectSkipped();
    expect(hung.questions.length - askedBefore).toBeLessThanOrEqual(2);

    hung.behaviour = appends('Here I am.');
    await until(async () => (await send()).outcome === 'applied');
    await until(async () => {
      const outcomes = (await Promise.all([send(), send(), send()])).map(({ outcome }) => outcome);
      return outcomes.join() === 'applied,applied,applied';
    });
    expect(await readiness()).toEqual({ status: 'ready', reasons: [], notes: [] });
  });
});
