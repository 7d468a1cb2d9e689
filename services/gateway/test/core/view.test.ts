import { describe, expect, test } from '@jest/globals';
import type { RewriterDeclaration } from '@loom/shared/rewriter.ts';
import { anchorsOf } from '../../src/core/anchor.ts';
import { matchWants } from '../../src/core/match-wants.ts';
import { viewFor } from '../../src/core/view.ts';
import { assistant, CONTEXT, cutTree, hookReminder, metadataLine, sha256, text, user } from './fixtures/body.ts';

const LITERAL = 'the literal';
const REWRITER: RewriterDeclaration = {
  name: 'r',
  order: 1,
  holdMs: 100,
  whenAbsent: 'forward',
  profiles: ['*'],
  wants: [{ on: 'every' }],
  view: [],
};
const wanting = (where: 'any' | 'system', ...view: RewriterDeclaration['view']): RewriterDeclaration => ({
  ...REWRITER,
  wants: [{ on: 'literal', label: 'l', literal: LITERAL, where }],
  view,
});

function view(body: object, ...rewriters: RewriterDeclaration[]) {
  const tree = cutTree(body);
  const questions = matchWants(tree, { class: 'main', profile: 'alpha', isAnswered: () => false }, rewriters);
  return viewFor(tree, questions, anchorsOf(tree, 's1', sha256));
}

const FIRST = sha256(`${sha256('s1')}\none`);
const BODY = {
  messages: [
    { role: 'user', content: 'one' },
    { role: 'system', content: CONTEXT + metadataLine() },
    assistant(text('1')),
    user(text(hookReminder()), { type: 'image' }, text(`${LITERAL}, two`)),
    { role: 'system', content: 'Rules.' },
  ],
  system: [text('identity'), text(`${LITERAL} of the system`)],
};

describe('viewFor', () => {
  test('shows nothing that nobody asked for', () => {
    expect(view(BODY, REWRITER)).toEqual({});
  });

  test('shows the system prompt, as a list in either form, and an absent one as an empty list', () => {
    const rewriter: RewriterDeclaration = { ...REWRITER, view: ['system'] };

    expect([
      view(BODY, rewriter),
      view({ ...BODY, system: 'short' }, rewriter),
      view({ messages: [] }, rewriter),
    ]).toEqual([
      { system: [text('identity'), text(`${LITERAL} of the system`)] },
      { system: [text('short')] },
      { system: [] },
    ]);
  });

  test('shows the newest message under the pointer that it has upstream, without what was cut', () => {
    expect(view(BODY, { ...REWRITER, view: ['last'] })).toEqual({
      last: {
        pointer: '/messages/2',
        role: 'user',
        anchor: sha256(`${FIRST}\n${LITERAL}, two`),
        content: [{ type: 'image' }, text(`${LITERAL}, two`)],
      },
    });
  });

  test('shows each text that holds a literal, with its pointer, and its message’s anchor', () => {
    expect(view(BODY, wanting('any', 'matched'), wanting('system', 'matched'))).toEqual({
      matched: [
        {
          label: 'l',
          pointer: '/messages/2/content/1/text',
          role: 'user',
          anchor: sha256(`${FIRST}\n${LITERAL}, two`),
          text: `${LITERAL}, two`,
        },
        { label: 'l', pointer: '/system/1/text', role: 'system', text: `${LITERAL} of the system` },
      ],
    });
  });

  test('shows the union of what the rewriters asked for, and matches only to those that want to see them', () => {
    expect(Object.keys(view(BODY, wanting('any', 'last'), wanting('system', 'system', 'matched')))).toEqual([
      'system',
      'last',
      'matched',
    ]);
    expect(view(BODY, wanting('any'), wanting('system', 'matched')).matched?.map(({ pointer }) => pointer)).toEqual([
      '/system/1/text',
    ]);
  });

  test('shows no text of more than 262144 characters', () => {
    const long = `${LITERAL} ${'x'.repeat(262_144)}`;

    expect(view({ messages: [user(text(long))] }, wanting('any', 'last', 'matched'))).toEqual({
      last: {
        pointer: '/messages/0',
        role: 'user',
        anchor: sha256(`${sha256('s1')}\n${long}`),
        content: [{ type: 'text' }],
      },
      matched: [],
    });
  });

  test('leaves a long prompt out where a person typed it, and shows it where a literal was found', () => {
    const long = `${LITERAL} ${'x'.repeat(16_384)}`;
    const human: RewriterDeclaration = { ...REWRITER, wants: [{ on: 'human' }], view: ['last'] };
    const body = { messages: [user(text('look at this'), text(long))], tools: [{ name: 'Bash' }] };

    const shown = (rewriter: RewriterDeclaration) => view(body, rewriter).last?.content;

    expect(shown(human)).toEqual([text('look at this'), { type: 'text' }]);
    expect(shown(wanting('any', 'last'))).toEqual([text('look at this'), text(long)]);
  });

  // With a look at all of them for each, it would take a minute.
  test('is done with very many texts of one message', () => {
    const texts = Array.from({ length: 16_000 }, () => text(LITERAL));

    expect(view({ messages: [user(...texts)] }, wanting('any', 'matched')).matched?.at(-1)?.pointer).toBe(
      '/messages/0/content/15999/text',
    );
  });
});
