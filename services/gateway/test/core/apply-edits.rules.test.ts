import { describe, expect, test } from '@jest/globals';
import type { Edit } from '@loom/shared/edit.ts';
import { CANARY } from '@loom/shared/metadata.ts';
import { assistant, text, user } from './fixtures/body.ts';
import { add, check, edited, refusal, remove, replace } from './fixtures/edits.ts';

const BILLING = text('x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=cli;');
const BODY = {
  messages: [
    user(text('one'), text('two')),
    assistant(text('1')),
    user({ type: 'tool_result', content: 'a' }),
    { role: 'developer', content: 'b' },
    { role: 'system', content: 'c' },
    { role: 'user', content: null },
    user(text('twice'), text('twice')),
  ],
  system: [BILLING, text('identity')],
};
const FIRST = '/messages/0/content';

describe('applyEdits refuses', () => {
  test.each<[string, Edit[], string]>([
    [
      'an edit of an answer',
      [replace('/messages/1/content/0/text', 'x')],
      '/messages/1/content/0/text is in a message of role assistant',
    ],
    [
      'an edit of a message of an unknown role',
      [add('/messages/3/content/-', 'x')],
      '/messages/3/content/- is in a message of role developer',
    ],
    [
      'an edit of a tool result',
      [replace('/messages/2/content/0/text', 'x')],
      'block 0 is of type tool_result, not text',
    ],
    ['the removal of a tool result', [remove('/messages/2/content/0')], 'block 0 is of type tool_result, not text'],
    ['an edit of the attribution block', [replace('/system/0/text', 'x')], 'the attribution block is not to be edited'],
    ['the removal of the attribution block', [remove('/system/0')], 'the attribution block is not to be edited'],
    ['a block in front of the attribution block', [add('/system/0', 'x')], 'nothing goes before the attribution block'],
    [
      'an edit outside of system and messages',
      [replace('/model', 'x')],
      '/model is neither in system nor in a message',
    ],
    [
      'an edit of a message’s role',
      [replace('/messages/0/role', 'x')],
      "/messages/0/role is not in a message's content",
    ],
    [
      'an edit of content of an unknown shape',
      [add('/messages/5/content/-', 'x')],
      "/messages/5/content/- is not in a message's content",
    ],
    ['an edit of all content', [add('/messages/0/content', 'x')], '/messages/0/content names no block or text'],
    ['a removal of all messages', [remove('/messages')], '/messages names no message'],
    [
      'a block of another type than text in a test',
      [check('/messages/2/content/0', text('a'))],
      'a test failed at block 0',
    ],
    ['a block that is not there', [replace(`${FIRST}/2/text`, 'x')], 'no block 2'],
    ['a block at no place', [replace(`${FIRST}/-/text`, 'x')], 'no block -'],
    ['a place that is not there', [add(`${FIRST}/3`, 'x')], 'no place 3 among 2 blocks'],
    ['a member of a block', [replace(`${FIRST}/0/type`, 'x')], `${FIRST}/0/type names no block or text`],
    ['what lies below a text', [replace(`${FIRST}/0/text/0`, 'x')], `${FIRST}/0/text/0 names no block or text`],
    ['an added text', [add(`${FIRST}/0/text`, 'x')], 'a text is replaced, not added'],
    ['a removed text', [remove(`${FIRST}/0/text`)], 'a block is removed whole, not its text'],
    [
      'a string in a block’s place',
      [replace(`${FIRST}/0`, 'x')],
      'a text is replaced by a string, a block by a text block',
    ],
    ['the removal of the only block', [remove('/messages/4/content/0')], 'the only block of a list cannot be removed'],
    [
      'the removal of all blocks',
      [remove(`${FIRST}/0`), remove(`${FIRST}/0`)],
      'the only block of a list cannot be removed',
    ],
    [
      'a change of its own insertion',
      [add(`${FIRST}/0`, 'x'), replace(`${FIRST}/0/text`, 'y')],
      'block 0 was inserted by the same answer',
    ],
    [
      'the removal of its own insertion',
      [add(`${FIRST}/0`, 'x'), remove(`${FIRST}/0`)],
      'block 0 was inserted by the same answer',
    ],
    ['the canary', [replace(`${FIRST}/0/text`, `{"canary":"${CANARY}"}`)], 'an edit holds the metadata canary'],
    ['more than 262144 characters', [add(`${FIRST}/-`, 'x'.repeat(262_144))], 'more than 262144 characters'],
    [
      'a durable edit of the system prompt',
      [add('/system/-', 'x', true)],
      'a durable edit needs a user message with an anchor',
    ],
    [
      'a durable edit of a system message',
      [add('/messages/4/content/-', 'x', true)],
      'a durable edit needs a user message with an anchor',
    ],
    [
      'a durable edit of a message without text',
      [add('/messages/2/content/-', 'x', true)],
      'a durable edit needs a user message with an anchor',
    ],
    [
      'a durable block in mid-message',
      [add(`${FIRST}/1`, 'x', true)],
      'durable goes with replace of a text, or with add at the end',
    ],
    [
      'a durable replacement of a block',
      [{ op: 'replace', path: `${FIRST}/0`, value: { type: 'text', text: 'x' }, durable: true }],
      'durable goes with replace of a text, or with add at the end',
    ],
    [
      'a durable edit of a text that stands twice',
      [replace('/messages/6/content/1/text', 'x', true)],
      'a durable edit needs a text that stands once in its message, unlike block 1',
    ],
    [
      'a second edit of a durably replaced text',
      [replace(`${FIRST}/0/text`, 'x', true), replace(`${FIRST}/0/text`, 'y')],
      'block 0 is replaced durably, once',
    ],
    [
      'a durable edit of a text that was replaced before',
      [replace(`${FIRST}/0/text`, 'x'), replace(`${FIRST}/0/text`, 'y', true)],
      'block 0 is replaced durably, once',
    ],
    [
      'the removal of a durably replaced text',
      [replace(`${FIRST}/0/text`, 'x', true), remove(`${FIRST}/0`)],
      'block 0 is replaced durably, once',
    ],
  ])('%s', (_, edits, reason) => {
    expect(refusal(edited(BODY, edits))).toBe(reason);
  });

  test.each([
    `/messages/-0/content/0/text`,
    `/messages/00/content/0/text`,
    `/messages/1e0/content/0/text`,
    `/messages/+0/content/0/text`,
    `/messages/ 0/content/0/text`,
    `/messages//content/0/text`,
    `/messages/-/content/0/text`,
    `/messages/99/content/0/text`,
    `/messages/__proto__/content/0/text`,
    `/messages/length/content/0/text`,
    `${FIRST}/-0/text`,
    `${FIRST}/01/text`,
    `${FIRST}/1e0/text`,
    `${FIRST}/0x1/text`,
    `${FIRST}//text`,
    `${FIRST}/__proto__/text`,
    `${FIRST}/0/__proto__`,
    `${FIRST}/0/te~0xt`,
    '/messages~10/content/0/text',
    '/__proto__/0/text',
    '/constructor/prototype/text',
    '/system/__proto__/text',
    '/systém/0/text',
  ])('the pointer %s, and leaves the body as it was', (path) => {
    const { json, results } = edited(BODY, [replace(path, 'x')]);

    expect([results[0]?.applied, json]).toEqual([false, JSON.stringify(BODY)]);
  });

  test('all edits of an answer because of one', () => {
    const good = [replace(`${FIRST}/0/text`, 'x', true), add('/system/-', 'y'), remove(`${FIRST}/1`)];

    for (const bad of [
      check(`${FIRST}/0/text`, 'one'),
      remove('/system/0'),
      replace('/messages/9/content/0/text', 'x'),
    ]) {
      const { json, results } = edited(BODY, [...good, bad]);

      expect([results[0]?.applied, json]).toEqual([false, JSON.stringify(BODY)]);
    }
  });

  test('everything in system where the request has none', () => {
    expect(refusal(edited({ messages: [] }, [add('/system/-', 'x')]))).toBe(
      '/system/- is neither in system nor in a message',
    );
  });

  test('the attribution in string form too', () => {
    expect(refusal(edited({ messages: [], system: BILLING.text }, [add('/system/0', 'x')]))).toBe(
      'nothing goes before the attribution block',
    );
  });
});
