import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest, withBlock } from '../alpha.ts';
import { startHarness } from '../harness.ts';
import {
  answerEntry,
  appends,
  type Behaviour,
  proposal,
  type Question,
  type ScriptedRewriter,
  startRewriter,
} from '../scripted-rewriter.ts';

let rewriter: ScriptedRewriter;
const harness = await startHarness({}, async (redis) => {
  rewriter = await startRewriter(redis, { name: 'scribe', holdMs: 30_000 });
});
const { upstream, client } = harness;
let sessions = 0;

afterAll(() => harness.close());
beforeEach(() => {
  upstream.requests.length = 0;
});

/** Sends a request while the rewriter behaves so; the body as sent, the body upstream, and what became of the edits. */
async function meet(behaviour: Behaviour) {
  const session = `s${++sessions}`;
  rewriter.behaviour = behaviour;
  const request = alphaRequest(session, 'Good evening.');
  const { status } = await harness.send('/v1/messages', request);
  const { data } = await harness.eventOf('responses', 'request.forwarded', session);
  const [edit] = data.edits;
  return { status, sent: request.body, arrived: upstream.requests[0]?.body.toString(), edit };
}

/** An answer whose edits are no schema's. */
function says(...edits: unknown[]): Behaviour {
  return (question, name) => [proposal(question, name, { edits: edits as never })];
}

const block = { type: 'text', text: 'x' };
const add = (path: string, more = {}) => ({ op: 'add', path, value: block, ...more });
const TEXT = '/messages/0/content/0/text';
/** After an answer that is dropped unread, one that is sound: what was dropped has harmed nobody. */
const thenSound: Behaviour = (question, name) => [...(appends('Sound.')(question, name) as string[][])];

describe('an answer of a rewriter that means no good is refused whole, and the request goes out as it came', () => {
  test.each([
    ['a pointer to the prototype', add('/__proto__/polluted')],
    ['a pointer to the prototype, within a message', add('/messages/__proto__/0')],
    ['a pointer to a list’s prototype', add('/messages/0/content/__proto__')],
    ['a pointer to a constructor', add('/messages/constructor/prototype/-')],
    ['a pointer to a list’s length', { op: 'replace', path: '/messages/0/content/length', value: 'x' }],
    ['a pointer of 200,000 characters', add(`/messages/0/${'x'.repeat(200_000)}`)],
    ['a pointer of 100,000 levels', add('/a'.repeat(100_000))],
    ['an index of 400 digits', { op: 'replace', path: `/messages/${'9'.repeat(400)}/content/0/text`, value: 'x' }],
    ['an index below nothing', { op: 'remove', path: '/messages/-1/content/0' }],
    ['an index with a sign', { op: 'remove', path: '/messages/+0/content/0' }],
    ['a member with its quotes', { op: 'replace', path: '/messages/0/content/0/"text', value: 'x' }],
    ['the model', { op: 'replace', path: '/model', value: 'another' }],
    ['a role', { op: 'replace', path: '/messages/0/role', value: 'assistant' }],
    ['a tool', add('/tools/-')],
    ['the canary, to be taken for the hook', add('/messages/0/content/-', { value: { ...block, text: CANARY } })],
    ['more text than one may', { op: 'replace', path: TEXT, value: 'x'.repeat(300_000) }],
  ])('%s', async (_, edit) => {
    const { status, sent, arrived, edit: outcome } = await meet(says(edit));

    expect([status, arrived, outcome?.outcome]).toEqual([200, sent, 'refused']);
    expect(outcome?.reason?.length).toBeLessThanOrEqual(200);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('an entry that is no answer is dropped, and the answer behind it counts', () => {
  const changed = (question: Question, name: string, changes: object) =>
    answerEntry('s', JSON.stringify({ requestId: question.data.requestId, rewriter: name, replica: 'x', ...changes }));

  test.each<[string, (question: Question, name: string) => string[]]>([
    [
      'an edit of an unknown kind',
      (q, name) => changed(q, name, { bodySha256: q.data.body.sha256, edits: [{ op: 'move' }] }),
    ],
    ['edits that are none', (q, name) => changed(q, name, { bodySha256: q.data.body.sha256, edits: { length: 9 } })],
    ['a member called __proto__', (q, name) => changed(q, name, JSON.parse('{"__proto__":{"edits":[]},"edits":[]}'))],
    ['two million brackets', () => answerEntry('s', '['.repeat(900_000))],
    ['2 MB', () => answerEntry('s', JSON.stringify('x'.repeat(2_097_152)))],
    ['fields that are no envelope', () => ['__proto__', 'x', 'type', 'edits.proposed', 'data', '{}']],
    [
      'the answer of somebody who was not asked',
      (q) => proposal(q, 'stranger', { edits: [{ op: 'remove', path: '/messages/0/content/0' }] }),
    ],
    [
      'the answer to another request',
      (q, name) => changed(q, name, { requestId: 'another', bodySha256: q.data.body.sha256, edits: [] }),
    ],
  ])('%s', async (_, fields) => {
    const { arrived, sent, edit } = await meet((question, name) => [
      fields(question, name),
      ...(thenSound(question, name) as string[][]),
    ]);

    expect([arrived, edit?.outcome]).toEqual([withBlock(sent, 'Sound.'), 'applied']);
  });

  test('a flood of them, while requests go on', async () => {
    const before = await harness.metric('loom_replies_dropped_total');
    const long = answerEntry('s', JSON.stringify({ requestId: 'x', padding: 'x'.repeat(100_000) }));

    const { arrived, sent, edit } = await meet(async (question, name) => {
      await Promise.all(Array.from({ length: 40 }, () => client.xadd(question.data.replyStream, '*', ...long)));
      return thenSound(question, name) as string[][];
    });
    await until(async () => (await harness.metric('loom_replies_dropped_total')) - before >= 40);

    expect([arrived, edit?.outcome]).toEqual([withBlock(sent, 'Sound.'), 'applied']);
  });
});

test('declarations that mean no good are not asked', async () => {
  const sound = { order: 1, holdMs: 1, whenAbsent: 'forward', profiles: ['*'], wants: [{ on: 'every' }], view: [] };
  const hostile: [field: string, said: object | string][] = [
    ['no-json', '{"name":'],
    ['of-another', { ...sound, name: 'scribe' }],
    ['for a terminal\u001b[2J', sound],
    ['for a metric"} 1\nb{c="', sound],
    ['__proto__', sound],
    ['without-end', { ...sound, holdMs: 1e12 }],
  ];
  for (const [field, said] of hostile) {
    const declaration = typeof said === 'string' ? said : JSON.stringify({ name: field, ...said });
    await client.hset('loom:rewriters', field, declaration);
    await client.set(`loom:rewriter:${field}`, 'x');
  }
  // Announced behind them: when this one is asked, they were read.
  const witness = await startRewriter(harness.redis, { name: 'witness', profiles: ['beta'] });
  await until(async () => {
    await harness.send('/v1/messages', alphaRequest(`w${++sessions}`, 'Hello?', { profile: 'beta' }));
    return witness.questions.length > 0;
  });
  upstream.requests.length = 0;

  const { edit } = await meet(thenSound);
  const { data } = await harness.eventOf('requests', 'request.received', `s${sessions}`);

  expect(data.awaited.map(({ rewriter: name }) => name)).toEqual(['scribe']);
  expect(edit?.outcome).toBe('applied');
});
