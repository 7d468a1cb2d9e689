import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Edit } from '@loom/shared/edit.ts';
import type { EditOutcome } from '@loom/shared/event.ts';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';
import {
  answerEntry,
  appends,
  type Behaviour,
  proposal,
  proposes,
  type Question,
  type ScriptedRewriter,
  startRewriter,
} from '../scripted-rewriter.ts';

/** Each test of a rewriter that says nothing of use waits for so long; the others may take their time. */
const HOLD_MS = 400;
const APPLIED = { outcome: 'applied' as const, operations: 1, waitedMs: 0, labels: ['human'] };
const BYSTANDER: EditOutcome = { ...APPLIED, rewriter: 'scribe', bytesBefore: 0, bytesAfter: 17 };

let harness: Harness;
let odd: ScriptedRewriter;
let mute: ScriptedRewriter;
let serial = 0;

beforeAll(async () => {
  harness = await startHarness({}, async (redis) => {
    odd = await startRewriter(redis, { name: 'odd', order: 10, profiles: ['alpha'] });
    mute = await startRewriter(redis, { name: 'mute', order: 10, profiles: ['beta'], holdMs: HOLD_MS });
    await startRewriter(redis, { name: 'scribe', order: 20, profiles: ['alpha', 'beta'] });
  });
});
// Closes the breaker, which counts misses in a row.
afterEach(async () => {
  mute.behaviour = proposes();
  await until(async () => (await send(mute)).edits[0]?.outcome === 'none');
});
afterAll(() => harness.close());

/** Sends a request of a new session that one of them is asked about, and returns what became of it. */
async function send(asked = odd) {
  const session = `s${++serial}`;
  const request = alphaRequest(session, '', {
    profile: asked === mute ? 'beta' : 'alpha',
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'Good evening.' }] },
      { role: 'assistant', content: [{ type: 'text', text: 'Hello.' }] },
      { role: 'user', content: [{ type: 'text', text: 'And now?' }] },
    ],
  });
  const { status } = await harness.send('/v1/messages', request);
  const body = harness.upstream.requests.at(-1)?.body.toString();
  const ofSession = await harness.eventOf('responses', 'request.forwarded', session);
  const edits = ofSession.data.edits.map((edit) => ({ ...edit, waitedMs: 0 }));
  const added = body?.slice(request.body.length - ']}]}'.length, -']}]}'.length);
  return {
    status,
    edits,
    added,
    isOtherwiseUnchanged: body?.startsWith(request.body.slice(0, -']}]}'.length)),
  };
}

const BY_SCRIBE = ',{"type":"text","text":"Edited by scribe."}';
const outcomeOf = (outcome: EditOutcome['outcome'], reason?: string) => ({
  rewriter: outcome === 'late' ? 'mute' : 'odd',
  outcome,
  operations: 0,
  waitedMs: 0,
  labels: ['human'],
  ...(reason && { reason }),
});

const assistant: Edit = { op: 'replace', path: '/messages/1/content/0/text', value: 'I never said that.' };
const missing: Edit = { op: 'replace', path: '/messages/7/content/0/text', value: 'Where?' };
const good: Edit = { op: 'replace', path: '/messages/0/content/0/text', value: 'Good morning.' };

const CASES: { does: string; behaviour: Behaviour; outcome: ReturnType<typeof outcomeOf> }[] = [
  { does: 'says nothing', behaviour: () => [], outcome: outcomeOf('late') },
  { does: 'writes an entry that is no event', behaviour: () => [['garbage', 'yes']], outcome: outcomeOf('late') },
  {
    does: 'writes no JSON',
    behaviour: ({ subject }) => [answerEntry(subject, '{"edits": [')],
    outcome: outcomeOf('late'),
  },
  {
    does: 'writes JSON that is no answer',
    behaviour: ({ subject }) => [answerEntry(subject, 'null')],
    outcome: outcomeOf('late'),
  },
  {
    does: 'answers for a request that nobody made',
    behaviour: (question, name) => [proposal(question, name, { requestId: 'r0', edits: [good] })],
    outcome: outcomeOf('late'),
  },
  {
    does: 'answers in the name of another',
    behaviour: (question) => [proposal(question, 'nobody', { edits: [good] })],
    outcome: outcomeOf('late'),
  },
  {
    does: 'answers for another body',
    behaviour: (question, name) => [proposal(question, name, { bodySha256: '0'.repeat(64), edits: [good] })],
    outcome: outcomeOf('refused', 'the answer is for another body'),
  },
  {
    does: 'edits what the assistant said',
    behaviour: proposes(good, assistant),
    outcome: outcomeOf('refused', '/messages/1/content/0/text is in a message of role assistant'),
  },
  {
    does: 'edits a message that is not there',
    behaviour: proposes(good, missing),
    outcome: outcomeOf('refused', '/messages/7/content/0/text names no message'),
  },
  {
    does: 'says that it failed, and quotes a key',
    behaviour: (question, name) => [
      proposal(question, name, { error: 'no ink for sk-ant-api03-abcdef', edits: [good] }),
    ],
    outcome: outcomeOf('error', 'no ink for [credential]'),
  },
  {
    does: 'answers at a length of more than 1 MiB',
    behaviour: proposes({ ...good, value: 'x'.repeat(1_100_000) }),
    outcome: outcomeOf('late'),
  },
];

describe('a rewriter that', () => {
  test.each(CASES)('$does costs its own edits and nothing else', async ({ behaviour, outcome }) => {
    const asked = outcome.rewriter === 'mute' ? mute : odd;
    asked.behaviour = behaviour;

    expect(await send(asked)).toEqual({
      status: 200,
      edits: [outcome, BYSTANDER],
      added: BY_SCRIBE,
      isOtherwiseUnchanged: true,
    });
  });

  test('answers after the deadline is not listened to any more', async () => {
    const { promise: isOver, resolve } = Promise.withResolvers<void>();
    mute.behaviour = async (question, name) => {
      await isOver;
      return [proposal(question, name, { edits: [good] })];
    };
    const droppedBefore = await harness.metric('loom_replies_dropped_total', { reason: 'late' });

    const sent = await send(mute);
    resolve();
    await until(async () => (await harness.metric('loom_replies_dropped_total', { reason: 'late' })) > droppedBefore);

    expect(sent.edits).toEqual([outcomeOf('late'), BYSTANDER]);
    expect(sent.added).toBe(BY_SCRIBE);
  });

  test('answers twice is believed the first time', async () => {
    odd.behaviour = (question, name) => [
      ...(appends('The first.')(question, name) as string[][]),
      ...(appends('The second.')(question, name) as string[][]),
    ];

    const sent = await send();

    expect(sent.edits).toEqual([{ ...APPLIED, rewriter: 'odd', bytesBefore: 0, bytesAfter: 10 }, BYSTANDER]);
    expect(sent.added).toBe(`,{"type":"text","text":"The first."}${BY_SCRIBE}`);
  });

  test('answers with 100 MB leaves neither the next answer nor the memory of Redis in want', async () => {
    let replyStream = '';
    mute.behaviour = (question: Question) => {
      replyStream = question.data.replyStream;
      return [answerEntry(question.subject, 'x'.repeat(100_000_000))];
    };
    expect((await send(mute)).edits).toEqual([outcomeOf('late'), BYSTANDER]);

    mute.behaviour = appends('Back to normal.');
    await until(async () => (await send(mute)).added === `,{"type":"text","text":"Back to normal."}${BY_SCRIBE}`);

    await until(async () => {
      const answers = await harness.client.xrange(replyStream, '-', '+');
      return answers.every(([, fields]) => fields.join('').length < 1_000_000);
    });
  });

  test('is asked again as if nothing had been, once it answers', async () => {
    odd.behaviour = appends('Here I am.');

    expect((await send()).added).toBe(`,{"type":"text","text":"Here I am."}${BY_SCRIBE}`);
  });
});
