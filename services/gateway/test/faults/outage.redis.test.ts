import { afterEach, describe, expect, test } from '@jest/globals';
import type { EventType } from '@loom/shared/event.ts';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import { type ScriptedRewriter, startRewriter } from '../scripted-rewriter.ts';

let harness: Harness;
let rewriter: ScriptedRewriter;

afterEach(() => harness.close());

/**
 * Only a frozen Redis costs the hold. It ends before the question is given up, which takes 1 s. In the other faults an
 * answer that is waited for would be `late`.
 */
async function start(isFrozen = false): Promise<void> {
  harness = await startHarness(isFrozen ? { LOOM_READ_MS: '50' } : {}, async (redis) => {
    rewriter = await startRewriter(redis, { name: 'scribe', holdMs: isFrozen ? 500 : 10_000 });
  });
}

type Request = ReturnType<typeof alphaRequest>;

/** Resolves when the answer is there: what is broken by then was not waited for. */
async function send(request: Request): Promise<number> {
  const response = await harness.send('/v1/messages', request);
  await response.text();
  return response.status;
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

/** How often the rewriter's edits did not come, by outcome. */
const bypasses = async (...outcomes: string[]) => {
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
    await start(outcome === 'late');
    await until(async () => {
      await send(first);
      return forwarded()?.includes('Edited by scribe.');
    });
    await until(() => harness.client.hlen('loom:ledger:s1'));
    await harness.client.del('loom:requests', 'loom:responses', 'loom:alerts');
    const before = await bypasses(outcome);

    await begin();

    expect(await send(second)).toBe(200);
    expect(forwarded()).toBe(secondReplayed);
    expect(await bypasses(outcome)).toBe(before + 1);

    await end();
    await until(async () => (await typesOf('alerts', 's1')).length > 0);
    expect(await typesOf('requests', 's1')).toEqual(['request.received']);
    expect(await typesOf('responses', 's1')).toEqual(['request.forwarded', 'response.completed']);
    expect(await typesOf('alerts', 's1')).toEqual(['rewriter.bypassed']);
  });

  test('requests one after the other are held for three deadlines at most, and edits come again by themselves', async () => {
    await start(outcome === 'late');
    await begin();
    const startedMs: number[] = [];
    for (const session of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8']) {
      startedMs.push(performance.now());
      expect(await send(alphaRequest(session, 'Hello?'))).toBe(200);
    }
    // A machine so slow that the pause after the third is over has another one tried each second.
    const pauses = Math.floor((performance.now() - (startedMs[2] ?? 0)) / 1_000);
    expect(await bypasses('late')).toBeLessThanOrEqual(outcome === 'late' ? 3 + pauses : 0);
    expect(await bypasses('late', 'unreachable', 'absent', 'skipped')).toBe(8);

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
  test('serves without it, unedited, and publishes when Redis is there', async () => {
    await start();
    await harness.redis.kill();
    await harness.restartGateway();

    expect(await send(first)).toBe(200);
    expect(forwarded()).toBe(first.body);

    await harness.redis.start();
    await until(async () => (await typesOf('responses', 's1')).length === 2);
    expect(await typesOf('requests', 's1')).toEqual(['request.received']);
  });
});

describe('a Redis that comes back empty', () => {
  test('leaves the edits of a running gateway in effect, and takes new ones', async () => {
    await start();
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
    await start();
    await send(first);
    rewriter.stop();
    // First the gateway: what Redis had not acknowledged yet would be written to the empty one.
    await harness.restartGateway();
    await harness.redis.kill();
    await harness.redis.start();

    expect(await send(second)).toBe(200);
    expect(forwarded()).toBe(second.body);
  });
});
