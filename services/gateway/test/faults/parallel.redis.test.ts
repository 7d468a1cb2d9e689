import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { alphaRequest, withBlock } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import { appends, proposes, type Question, type ScriptedRewriter, startRewriter } from '../scripted-rewriter.ts';

let harness: Harness;
let early: ScriptedRewriter;
let later: ScriptedRewriter;

beforeAll(async () => {
  harness = await startHarness({}, async (redis) => {
    later = await startRewriter(redis, { name: 'alphabetically-first', order: 20 });
    early = await startRewriter(redis, { name: 'zeta', order: 10 });
  });
});
afterAll(() => harness.close());

const forwarded = () => harness.upstream.requests.at(-1)?.body.toString();

describe('two rewriters of one request', () => {
  test('are asked at the same time, and their edits stand in the order that they declare', async () => {
    const request = alphaRequest('s1', 'Hello?');
    const bothAsked = Promise.withResolvers<void>();
    // Each answers only when the other has been asked, too: one after the other would never end in time.
    const whenBoth = (text: string) => async (question: Question, name: string) => {
      if (early.questions.length === 1 && later.questions.length === 1) bothAsked.resolve();
      await bothAsked.promise;
      return appends(text)(question, name);
    };
    early.behaviour = whenBoth('First.');
    later.behaviour = whenBoth('Second.');

    await harness.send('/v1/messages', request);

    expect(forwarded()).toBe(withBlock(request.body, 'First.', 'Second.'));
  });

  test('that edit the same text: the earlier by order wins, the other is refused', async () => {
    const request = alphaRequest('s2', 'Hello?');
    const says = (value: string) => proposes({ op: 'replace', path: '/messages/0/content/0/text', value });
    early.behaviour = says('I was first.');
    later.behaviour = says('No, I.');

    await harness.send('/v1/messages', request);

    expect(forwarded()).toBe(request.body.replace('Hello?', 'I was first.'));
    expect(await harness.metric('loom_edits_total', { rewriter: later.name, outcome: 'refused' })).toBe(1);
  });
});
