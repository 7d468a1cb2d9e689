import { describe, expect, test } from '@jest/globals';
import type { RewriterDeclaration, Want } from '@loom/shared/rewriter.ts';
import { cutMetadata } from '../../src/core/cut-metadata.ts';
import { findLiteral, matchWants, type RequestTraits } from '../../src/core/match-wants.ts';
import {
  acceptAll,
  assistant,
  CONTEXT,
  cutTree,
  hookReminder,
  metadataLine,
  text,
  treeOf,
  user,
} from './fixtures/body.ts';

const LITERAL = 'Continue the "last" task\nwith café, 漢字 & <b> a/b';
const SHORT = 'the last task';

type Literal = Extract<Want, { on: 'literal' }>;
const literal = (value: string, where: Literal['where'] = 'any'): Literal => ({
  on: 'literal',
  label: 'l',
  literal: value,
  where,
});

/** Where a literal is found, as `message/block`. */
function places(body: unknown, want: Literal): string[] {
  const tree = typeof body === 'string' ? treeOf(body) : cutTree(body);
  return findLiteral(tree, want).map(({ block, message }) => {
    const list = message ? message.content : tree.system;
    return `${message ? tree.messages.indexOf(message) : 'system'}/${list?.blocks.indexOf(block)}`;
  });
}

describe('findLiteral', () => {
  const written = JSON.stringify(LITERAL);
  test.each([
    ['as JSON.stringify writes it', written],
    ['outside ASCII in escapes', written.replace('é', '\\u00e9').replace('漢字', '\\u6f22\\u5b57')],
    ['in escapes of capital letters', written.replace('é', '\\u00E9').replace('漢', '\\u6F22')],
    [
      'with what HTML needs in escapes',
      written.replace('&', '\\u0026').replace('<b>', '\\u003cb\\u003e').replace('/', '\\/'),
    ],
    ['with every quote as a number', written.replaceAll('\\"', '\\u0022').replace('\\n', '\\u000a')],
  ])('finds a literal that is written %s', (_, token) => {
    expect(places(`{"messages":[{"role":"user","content":${token}}]}`, literal(LITERAL))).toEqual(['0/0']);
  });

  test('finds a literal that has no plain character at all', () => {
    expect(
      places({ messages: [user(text('a')), user(text('会話を続けて下さい'))] }, literal('会話を続けて下さい')),
    ).toEqual(['1/0']);
  });

  const body = {
    messages: [
      user(text(`a ${SHORT}`), text('b'), text(SHORT)),
      assistant(text(SHORT)),
      { role: 'system', content: SHORT },
      user({ type: 'tool_result', content: SHORT }, { type: 'document', text: SHORT }, text('a')),
      { role: 'user', content: `b ${SHORT}` },
      { role: 'system', content: SHORT },
    ],
    system: [text('a'), text(SHORT)],
  };

  test.each<[Literal['where'], string[]]>([
    ['any', ['0/0', '0/2', '2/0', '4/0', '5/0']],
    ['last', ['4/0']],
    ['system', ['system/1']],
  ])('looks %s: in texts that may be edited, not in answers, tool results and other blocks', (where, expected) => {
    expect(places(body, literal(SHORT, where))).toEqual(expected);
  });

  test('finds nothing in what is cut, nor in what was written by a rewriter', () => {
    const tree = treeOf({
      messages: [
        user(text(hookReminder(metadataLine({ prompt: SHORT }))), text('a')),
        assistant(text('b')),
        { role: 'system', content: `Rules.\n\n${CONTEXT}${metadataLine({ prompt: SHORT })}` },
        user(text(SHORT)),
      ],
    });
    cutMetadata(tree, acceptAll);
    const replaced = tree.messages[3]?.content?.blocks[0];
    if (replaced) replaced.newText = Buffer.from(JSON.stringify(`${SHORT}, again`));

    expect(findLiteral(tree, literal(SHORT))).toEqual([]);
  });
});

const REWRITER: RewriterDeclaration = {
  name: 'r',
  order: 1,
  holdMs: 100,
  whenAbsent: 'forward',
  profiles: ['alpha'],
  wants: [{ on: 'human' }],
  view: ['last'],
};
const MAIN: RequestTraits = { class: 'main', profile: 'alpha', isAnswered: () => false };

function ask(
  messages: object[],
  wants: Want[],
  traits: Partial<RequestTraits> = {},
  more: Partial<RewriterDeclaration> = {},
) {
  const tree = cutTree({ messages });
  const questions = matchWants(tree, { ...MAIN, ...traits }, [{ ...REWRITER, ...more, wants }]);
  return questions.map((question) => ({
    labels: question.labels,
    messages: question.messages.map((message) => tree.messages.indexOf(message)),
  }));
}

describe('matchWants', () => {
  const typed = [user(text('a')), assistant(text('b')), user(text('c')), { role: 'system', content: 'Rules.' }];
  const loop = [...typed, assistant({ type: 'tool_use' }), user({ type: 'tool_result', content: 'c' })];

  test('asks about the newest message when a person typed it, in a main request, once', () => {
    const wants: Want[] = [{ on: 'human' }];

    expect({
      typed: ask(typed, wants),
      toolLoop: ask(loop, wants),
      compaction: ask(typed, wants, { class: 'compaction' }),
      answered: ask(typed, wants, { isAnswered: (_, rewriter) => rewriter === 'r' }),
    }).toEqual({ typed: [{ labels: ['human'], messages: [2] }], toolLoop: [], compaction: [], answered: [] });
  });

  test('asks about the texts that hold a literal, but not about messages that were answered', () => {
    const messages = [user(text(SHORT)), user(text(SHORT)), user(text('a'))];
    let first = true;
    const isAnswered = () => {
      const wasFirst = first;
      first = false;
      return wasFirst;
    };

    expect([
      ask(messages, [literal(SHORT), { ...literal('the last task'), label: 'm' }, literal('elsewhere')]),
      ask(messages, [literal(SHORT)], { isAnswered }),
      ask(messages, [literal(SHORT)], { isAnswered: () => true }),
    ]).toEqual([[{ labels: ['l', 'm'], messages: [0, 1] }], [{ labels: ['l'], messages: [1] }], []]);
  });

  test('asks at each request, or at those of a class, whoever wants that', () => {
    const wants: Want[] = [{ on: 'every' }, { on: 'class', class: 'compaction' }];

    expect([ask(typed, wants), ask(typed, wants, { class: 'compaction' })]).toEqual([
      [{ labels: ['every'], messages: [] }],
      [{ labels: ['every', 'class.compaction'], messages: [] }],
    ]);
  });

  test('shows nobody anything of a subagent, an auxiliary call, a probe', () => {
    for (const requestClass of ['subagent', 'auxiliary', 'probe'] as const)
      expect(
        ask(typed, [{ on: 'every' }, { on: 'class', class: requestClass }, literal('a')], { class: requestClass }),
      ).toEqual([]);
  });

  test('asks only the rewriters of the profile', () => {
    const wants: Want[] = [{ on: 'every' }];

    expect([
      ask(typed, wants, { profile: 'beta' }).length,
      ask(typed, wants, { profile: 'beta' }, { profiles: ['alpha', 'beta'] }).length,
      ask(typed, wants, { profile: 'beta' }, { profiles: ['*'] }).length,
    ]).toEqual([0, 1, 1]);
  });
});
