import { afterAll, describe, expect, test } from '@jest/globals';
import type { EventType } from '@loom/shared/event.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startStack } from './stack.ts';
import { deliver, Talk, type TalkOptions } from './talk.ts';

const stack = await startStack({ LOOM_INTRO_HOLD_MS: '150' });
afterAll(() => stack.close());

/** Places, among the upstream's requests, of those whose answer a client saw to its end. */
const completed: number[] = [];
/** What a client saw instead of an answer, and which services were down when it asked and when it heard of it. */
const failures: { down: string[]; error: unknown }[] = [];
let down = 'none';

/** Sends as the real client does: again, when there was no answer. */
async function patiently(request: ClientRequest): Promise<number> {
  return until(async () => {
    const downAtFirst = down;
    try {
      const ordinal = await deliver(stack.url, request);
      completed.push(ordinal);
      return ordinal;
    } catch (error) {
      failures.push({ down: [downAtFirst, down], error });
      return 0;
    }
  });
}

async function more(count: number): Promise<void> {
  const target = completed.length + count;
  await until(() => completed.length >= target);
}

async function converse(talk: Talk, isOver: () => boolean): Promise<void> {
  for (let turn = 1; !isOver(); turn++) {
    await stack.client.rpush(`intro:memorables:${talk.session}`, `noticed before turn ${turn}`);
    await talk.turn(`This is prompt ${turn}.`);
    if (turn % 5 !== 0) continue;
    const { answer } = await talk.send((client) => client.compact({ trigger: 'auto' }));
    talk.tell((client) => client.compacted(answer.text ?? ''));
    await talk.finish(await talk.send((client) => client.continueAfterCompaction()));
  }
}

/** How often each type of event was published about each of the upstream's requests, repetitions of one id aside. */
async function countEvents(type: EventType): Promise<Map<string, number>> {
  const events = await stack.events(type);
  const once = new Map(events.map(({ id, data }) => [id, (data as { requestId: string }).requestId]));
  const counts = new Map<string, number>();
  for (const requestId of once.values()) counts.set(requestId, (counts.get(requestId) ?? 0) + 1);
  return counts;
}

async function expectAllPublished(ordinals: number[]): Promise<void> {
  const found = await until(async () => {
    const responses = await stack.events('response.completed');
    const requestOf = new Map(responses.map(({ data }) => [data.upstreamRequestId, data.requestId]));
    const [received, forwarded, ended] = await Promise.all(
      (['request.received', 'request.forwarded', 'response.completed'] as const).map(countEvents),
    );
    const counts = ordinals.map((ordinal) => {
      const requestId = requestOf.get(`req_01Scripted${String(ordinal).padStart(6, '0')}`) ?? '';
      return [received, forwarded, ended].map((count) => count?.get(requestId) ?? 0);
    });
    // What is missing may yet come; the claim is about what is there in the end.
    const missing = counts.filter((each) => each.includes(0));
    if (missing.length > 0) throw new Error(`expected no event to be missing, got ${JSON.stringify(missing)}`);
    return counts;
  });
  expect(found).toEqual(ordinals.map(() => [1, 1, 1]));
}

describe('kill -9', () => {
  test("of any service, under load, fails nobody but the gateway's own clients, and loses no event", async () => {
    const clients: TalkOptions[] = [
      { name: 'crowd 1', version: '2.1.330', hintHeaders: true },
      { name: 'crowd 2', version: '2.1.330' },
      { name: 'crowd 3', version: '2.1.118' },
      { name: 'crowd 4', version: '2.0.76' },
      { name: 'crowd 5', version: '1.0.128' },
      { name: 'crowd 6', version: '2.1.118', source: '' },
    ];
    let isOver = false;
    const talks = clients.map((options) => new Talk(stack, { ...options, by: patiently }));
    const conversations = Promise.all(talks.map((talk) => converse(talk, () => isOver)));

    await more(20);
    const { gateway, compactRewriter, introInjector } = stack;
    for (const service of [introInjector, gateway, compactRewriter, gateway, introInjector, compactRewriter]) {
      down = service.name;
      await service.kill();
      if (service !== gateway) await more(10);
      await service.start();
      await stack.ready();
      down = 'none';
      await more(20);
    }
    isOver = true;
    await conversations;

    expect(failures.filter((failure) => !failure.down.includes('gateway'))).toEqual([]);
    await expectAllPublished(completed);
    expect(await stack.events('identity.lost')).toEqual([]);
  });

  test('of the gateway, while Redis is away, loses no event of what was complete', async () => {
    const talk = new Talk(stack, { name: 'without Redis', version: '2.1.330' });
    await talk.turn('Look into the garden.');

    await stack.redis.stop();
    await talk.turn('And now?');
    await talk.turn('And behind the gate?');
    await stack.gateway.kill();
    await stack.startRedis();
    await stack.gateway.start();
    await stack.ready();

    expect(talk.exchanges).toHaveLength(6);
    await expectAllPublished(talk.exchanges.map(({ forwarded }) => forwarded.ordinal));
  });
});
