import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { anchorsOf, mergedAnchorsOf } from '../../src/core/anchor.ts';
import { assistant, CACHE, cutTree, hookReminder, reminder, sha256, text, user } from './fixtures/body.ts';

function anchors(messages: object[], session = 's1'): string[] {
  return [...anchorsOf(cutTree({ messages }), session, sha256).values()];
}

const said = (value: string) => ({ role: 'user', content: value });

describe('anchorsOf', () => {
  test('chains the session id and the text of each user message', () => {
    const first = sha256(`${sha256('s1')}\none`);

    expect(anchors([said('one'), assistant(text('1')), said('two')])).toEqual([first, sha256(`${first}\ntwo`)]);
  });

  test('gives none to tool results, reminders, hook context, answers and system messages', () => {
    expect(
      anchors([
        user({ type: 'tool_result', content: 'a' }),
        user(text(reminder('a')), text(hookReminder())),
        assistant(text('a')),
        { role: 'system', content: 'a' },
      ]),
    ).toEqual([]);
  });

  test('any form of the same texts has the same anchors', () => {
    const typed = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 10 }).map((word) => `p ${word} p`);
    const forms: ((value: string) => object[])[] = [
      (value) => [said(value)],
      (value) => [user(text(value))],
      (value) => [user(text(value, { cache_control: CACHE }))],
      (value) => [user(text(hookReminder()), text(`${reminder('# Date')}\n`), text(`${value}\n`))],
      (value) => [user(text(value), text('<user-prompt-submit-hook>Tea.</user-prompt-submit-hook>'))],
      (value) => [said(value), { role: 'system', content: `Rules.\n\n${hookReminder()}` }, assistant(text('1'))],
      (value) => [said(`${hookReminder()}\n${value}`), user({ type: 'tool_result', content: 'a' })],
    ];
    const form = fc.constantFrom(...forms);

    holds(
      fc.property(fc.array(fc.tuple(typed, form, form), { maxLength: 5 }), (turns) => {
        expect(anchors(turns.flatMap(([value, one]) => one(value)))).toEqual(
          anchors(turns.flatMap(([value, , other]) => other(value))),
        );
      }),
    );
  });

  test.each([
    ['another text', [said('one'), said('2')], 's1'],
    ['another order', [said('two'), said('one')], 's1'],
    ['another session', [said('one'), said('two')], 's2'],
    ['the same text said before', [said('two'), said('one'), said('two')], 's1'],
  ])('differs with %s', (_, messages, session) => {
    expect(anchors(messages, session).at(-1)).not.toBe(anchors([said('one'), said('two')]).at(-1));
  });
});

describe('mergedAnchorsOf', () => {
  test('names the anchors that the texts of one message had as messages of their own', () => {
    const tree = cutTree({
      messages: [said('zero'), user(text('one'), text(reminder('a')), text('two'), text('three'))],
    });
    const of = anchorsOf(tree, 's1', sha256);

    const merged = [...mergedAnchorsOf(tree, 's1', of, sha256).values()];

    expect(merged).toEqual([[anchors([said('zero'), said('one')])[1], anchors([said('zero'), said('one\ntwo')])[1]]]);
  });
});
