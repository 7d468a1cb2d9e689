import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest, withBlock } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import { appends, proposes, type Question, type ScriptedRewriter, startRewriter } from '../scripted-rewriter.ts';

let harness: Harness;
let rewriter: ScriptedRewriter;

beforeEach(async () => {
  harness = await startHarness({}, async (redis) => {
    rewriter = await startRewriter(redis, { name: 'scribe' });
  });
});
afterEach(() => harness.close());

const ANSWER = { role: 'assistant', content: 'Good evening to you.' };
const request = alphaRequest('s1', 'Good evening.');
const edited = withBlock(request.body, 'Edited by scribe.');

async function send(at: Harness = harness): Promise<string | undefined> {
  await at.send('/v1/messages', request);
  return at.upstream.requests.at(-1)?.body.toString();
}

async function isStored(): Promise<void> {
  await until(() => harness.client.hlen('loom:ledger:s1'));
}

describe('a durable edit', () => {
  test('is the same bytes when the request is tried again, and its rewriter is asked once', async () => {
    rewriter.behaviour = (question, name) => appends(`Edit ${rewriter.questions.length}.`)(question, name);

    const sent = [await send(), await send(), await send()];

    const once = withBlock(request.body, 'Edit 1.');
    expect(sent).toEqual([once, once, once]);
    expect(rewriter.questions).toHaveLength(1);
  });

  test('needs neither its rewriter nor Redis', async () => {
    await send();
    await isStored();
    rewriter.stop();
    await harness.client.del('loom:rewriters', 'loom:rewriter:scribe');
    await harness.redis.kill();

    expect(await send()).toBe(edited);
  });

  test('is there after a restart of the gateway, without its rewriter', async () => {
    await send();
    await isStored();
    rewriter.stop();
    await harness.client.del('loom:rewriters', 'loom:rewriter:scribe');

    await harness.restartGateway();

    expect(await send()).toBe(edited);
  });

  test('is there for another gateway, which asks nobody', async () => {
    const other = await startHarness({ REDIS_URL: harness.redis.url });
    await send();
    await isStored();

    expect(await send(other)).toBe(edited);
    expect(rewriter.questions).toHaveLength(1);

    await other.close();
  });

  test('is there for another gateway that knew the session before it was made, which asks nobody', async () => {
    const other = await startHarness({ REDIS_URL: harness.redis.url });
    const turns = [...JSON.parse(request.body).messages, ANSWER, { role: 'user', content: 'And you?' }];
    const next = alphaRequest('s1', '', { messages: turns });
    await send();
    await isStored();
    await send(other);
    await harness.send('/v1/messages', next);
    await until(async () => (await harness.client.hlen('loom:ledger:s1')) === 2);

    await other.send('/v1/messages', next);

    expect(other.upstream.requests.at(-1)?.body.toString()).toBe(harness.upstream.requests.at(-1)?.body.toString());
    expect(rewriter.questions).toHaveLength(2);

    await other.close();
  });

  test('that two gateways got at the same time is the first one after a restart of either', async () => {
    const other = await startHarness({ REDIS_URL: harness.redis.url });
    const bothAsked = Promise.withResolvers<void>();
    rewriter.behaviour = async (question: Question, name) => {
      if (rewriter.questions.length === 2) bothAsked.resolve();
      await bothAsked.promise;
      return appends(`For ${question.data.gateway}.`)(question, name);
    };
    const sent = await Promise.all([send(), send(other)]);
    await isStored();
    expect(sent[0]).not.toBe(sent[1]);

    await Promise.all([harness.restartGateway(), other.restartGateway()]);
    const again = [await send(), await send(other)];

    expect(again[0]).toBe(again[1]);
    expect(sent).toContain(again[0]);

    await other.close();
  });

  test('that was not made counts as well: a message is asked about once', async () => {
    rewriter.behaviour = proposes();
    await send();
    rewriter.behaviour = appends('Too late.');

    expect(await send()).toBe(request.body);
    expect(rewriter.questions).toHaveLength(1);
  });
});
