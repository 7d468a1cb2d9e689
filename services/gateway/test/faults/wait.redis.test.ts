import { afterEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest, withBlock } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import { declareRewriter, type RewriterScript, startRewriter } from '../scripted-rewriter.ts';

const HOLD_MS = 300;

let harness: Harness;

afterEach(() => harness.close());

const PATIENT: RewriterScript = { name: 'identity', whenAbsent: 'wait', holdMs: 30_000 };
const IMPATIENT: RewriterScript = {
  ...PATIENT,
  holdMs: HOLD_MS,
  wants: [{ on: 'literal', label: 'summary', literal: 'summarize all of it', where: 'system' }],
};
const system = [{ type: 'text', text: 'You summarize all of it.' }];

async function start(script: RewriterScript): Promise<void> {
  harness = await startHarness({}, (redis) => declareRewriter(redis, script));
}

/** Sends a request; its body as it went out. */
async function send(request: { headers: Record<string, string>; body: string }): Promise<string | undefined> {
  await harness.send('/v1/messages', request);
  return harness.upstream.requests.at(-1)?.body.toString();
}

/** For each request, whether it was held for the whole of the deadline; one that was not was not held at all. */
async function held(requests: number): Promise<boolean[]> {
  const forwarded = await harness.eventsWhen('responses', 'request.forwarded', requests);
  return forwarded.map(({ data }) => {
    // A timer may be a millisecond early.
    if (data.heldMs > 0) expect(data.heldMs).toBeGreaterThanOrEqual(HOLD_MS - 1);
    return data.heldMs > 0;
  });
}

const request = alphaRequest('s1', 'Good evening.');
const edited = withBlock(request.body, 'Edited by identity.');
const isQuestionTaken = () => until(() => harness.client.xlen('loom:requests'));

describe('a rewriter that must be waited for', () => {
  test('gets its edits in when it comes back while the request is held', async () => {
    await start(PATIENT);
    const sent = send(request);
    await isQuestionTaken();

    await startRewriter(harness.redis, PATIENT);

    expect(await sent).toBe(edited);
    expect(await harness.events('alerts', 'identity.lost')).toEqual([]);
  });

  test('gets its edits in when Redis was away as the request came, and comes back while it is held', async () => {
    await start(PATIENT);
    await harness.redis.kill();
    const sent = send(request);
    await until(async () => (await harness.metric('loom_exchanges_active')) === 1);

    await harness.redis.start();
    await startRewriter(harness.redis, PATIENT);

    expect(await sent).toBe(edited);
  });

  test('gets its edits in when Redis forgets the question while the request is held', async () => {
    await start(PATIENT);
    const sent = send(request);
    await isQuestionTaken();

    await harness.redis.kill();
    await harness.redis.start();
    await startRewriter(harness.redis, PATIENT);

    expect(await sent).toBe(edited);
  });

  test('is waited for although Redis came back empty and does not know it yet', async () => {
    await start(PATIENT);
    await harness.redis.kill();
    await harness.redis.start();
    const hasLooked = async () => (await harness.client.info('commandstats')).includes('cmdstat_hgetall');
    await until(hasLooked);

    const sent = send(request);
    await isQuestionTaken();
    await startRewriter(harness.redis, PATIENT);

    expect(await sent).toBe(edited);
  });

  test('that does not come back costs its hold, its edits, and an alert', async () => {
    await start(IMPATIENT);
    const compaction = alphaRequest('s1', 'Good evening.', { class: 'compaction', system });

    expect(await send(compaction)).toBe(compaction.body);
    expect(await held(1)).toEqual([true]);
    const [lost] = await harness.eventsWhen('alerts', 'identity.lost', 1);
    expect({ ...lost?.data, requestId: '', waitedMs: 0 }).toEqual({
      requestId: '',
      rewriter: 'identity',
      labels: ['summary'],
      waitedMs: 0,
      reason: 'absent',
    });
    expect(await harness.metric('loom_edits_total', { rewriter: 'identity', outcome: 'absent' })).toBe(1);
  });

  test('is waited for once for the same conversation, and again for another', async () => {
    await start(IMPATIENT);
    const compaction = (session: string, text: string) => alphaRequest(session, text, { class: 'compaction', system });

    for (const [session, text] of [
      ['s1', 'Good evening.'],
      ['s1', 'Good evening.'],
      ['s2', 'Good evening.'],
      ['s1', 'Much later.'],
    ] as const)
      await send(compaction(session, text));

    expect(await held(4)).toEqual([true, false, true, true]);
    expect(await harness.eventsWhen('alerts', 'identity.lost', 4)).toHaveLength(4);
  });
});
