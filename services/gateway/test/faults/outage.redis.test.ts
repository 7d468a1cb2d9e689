import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EventType } from '@loom/shared';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import { type ScriptedRewriter, startRewriter } from '../scripted-rewriter.ts';

const HOLD_MS = 400;
/** For a busy machine; a fault itself costs the hold and one bounded read at most. */
const TOLERANCE_MS = 600;

let harness: Harness;
let rewriter: ScriptedRewriter;

beforeEach(async () => {
  harness = await startHarness({}, async (redis) => {
    rewriter = await startRewriter(redis, { name: 'scribe', holdMs: HOLD_MS });
  });
});
afterEach(() => harness.close());

type Request = ReturnType<typeof alphaRequest>;

async function send(request: Request) {
  const startedMs = performance.now();
  const response = await harness.send('/v1/messages', request);
  await response.text();
  return { status: response.status, isInTime: performance.now() - startedMs < HOLD_MS + TOLERANCE_MS };
}

function forwarded(): string | undefined {
  return harness.upstream.requests.at(-1)?.body.toString();
}

/** The events of a session on a stream, each id once: what a consumer makes of them. */
async function typesOf(stream: string, session: string): Promise<string[]> {
  const types: EventType[] = ['request.received', 'request.forwarded', 'response.completed', 'rewriter.bypassed'];
  const events = (await Promise.all(types.map((type) => harness.events(stream, type)))).flat();
  const once = new Map(events.filter(({ subject }) => subject === session).map((event) => [event.id, event]));
  return [...once.values()].sort((a, b) => (a.time < b.time ? -1 : 1)).map(({ type }) => type);
}

const bypasses = async () => {
  const outcomes = ['late', 'unreachable', 'absent', 'skipped'];
  const counts = outcomes.map((outcome) => harness.metric('loom_edits_total', { rewriter: 'scribe', outcome }));
  return (await Promise.all(counts)).reduce((sum, count) => sum + count);
};

const first = alphaRequest('s1', 'Good evening.');
const second = alphaRequest('s1', '', {
  messages: [
    { role: 'user', content: [{ type: 'text', text: 'Good evening.' }] },
    { role: 'assistant', content: [{ type: 'text', text: 'Hello.' }] },
    { role: 'user', content: [{ type: 'text', text: 'And now?' }] },
  ],
});
const REPLAYED = 'Good evening."},{"type":"text","text":"Edited by scribe."}';
const secondReplayed = second.body.replace('Good evening."}', REPLAYED);

const config = (name: string, value: string) => async () => {
  await harness.client.config('SET', name, value);
};
const FAULTS = [
  { fault: 'has died', outcome: 'unreachable', begin: () => harness.redis.kill(), end: () => harness.redis.start() },
  {
    fault: 'is frozen',
    outcome: 'late',
    begin: async () => harness.redis.freeze(),
    end: async () => harness.redis.thaw(),
  },
  { fault: 'is full', outcome: 'unreachable', begin: config('maxmemory', '1'), end: config('maxmemory', '0') },
  {
    fault: 'refuses writes',
    outcome: 'unreachable',
    begin: config('min-replicas-to-write', '1'),
    end: config('min-replicas-to-write', '0'),
  },
];

describe.each(FAULTS)('while Redis $fault', ({ outcome, begin, end }) => {
  test('a request goes out in time, with the edits of before and no new ones, and its events come afterwards', async () => {
    await send(first);
    await until(() => harness.client.hlen('loom:ledger:s1'));
    await harness.client.del('loom:requests', 'loom:responses');

    await begin();
    const sent = await send(second);

    expect(sent).toEqual({ status: 200, isInTime: true });
    expect(forwarded()).toBe(secondReplayed);
    expect(await harness.metric('loom_edits_total', { rewriter: 'scribe', outcome })).toBe(1);

    await end();
    await until(async () => (await typesOf('alerts', 's1')).length > 0);
    expect(await typesOf('requests', 's1')).toEqual(['request.received']);
    expect(await typesOf('responses', 's1')).toEqual(['request.forwarded', 'response.completed']);
    expect(await typesOf('alerts', 's1')).toEqual(['rewriter.bypassed']);
  });

  test('requests one after the other are held for three deadlines at most, and edits come again by themselves', async () => {
    await begin();
    const startedMs = performance.now();
    for (const session of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8'])
      expect((await send(alphaRequest(session, 'Hello?'))).status).toBe(200);
    expect(performance.now() - startedMs).toBeLessThan(3 * HOLD_MS + 2 * TOLERANCE_MS);
    expect(await bypasses()).toBe(8);

    await end();
    let attempts = 0;
    await until(async () => {
      await rewriter.announce();
      await send(alphaRequest(`b${attempts++}`, 'Are you back?'));
      return forwarded()?.includes('Edited by scribe.');
    });
  });
});

describe('a gateway that starts while Redis is dead', () => {
  test('serves at once, unedited, and publishes when Redis is there', async () => {
    await harness.redis.kill();
    const startedMs = performance.now();
    await harness.restartGateway();
    expect(performance.now() - startedMs).toBeLessThan(3_000);

    expect(await send(first)).toEqual({ status: 200, isInTime: true });
    expect(forwarded()).toBe(first.body);

    await harness.redis.start();
    await until(async () => (await typesOf('responses', 's1')).length === 2);
    expect(await typesOf('requests', 's1')).toEqual(['request.received']);
  });
});

describe('a Redis that comes back empty', () => {
  test('leaves the edits of a running gateway in effect, and takes new ones', async () => {
    await send(first);
    await harness.redis.kill();
    await harness.redis.start();
    await rewriter.announce();

    await until(async () => {
      await send(second);
      return forwarded()?.endsWith('And now?"},{"type":"text","text":"Edited by scribe."}]}]}');
    });

    expect(forwarded()).toContain(REPLAYED);
  });

  test('has nothing to replay for a gateway that starts anew: the request goes out as it came', async () => {
    await send(first);
    rewriter.stop();
    // First the gateway: what Redis had not acknowledged yet would be written to the empty one.
    await harness.restartGateway();
    await harness.redis.kill();
    await harness.redis.start();

    expect(await send(second)).toEqual({ status: 200, isInTime: true });
    expect(forwarded()).toBe(second.body);
  });
});
