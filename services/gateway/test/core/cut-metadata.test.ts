import { describe, expect, test } from '@jest/globals';
import { CANARY, formatMetadata, isSignedWith } from '@loom/shared/metadata.ts';
import { cutMetadata } from '../../src/core/cut-metadata.ts';
import { renderBody } from '../../src/core/splice.ts';
import {
  acceptAll,
  assistant,
  CACHE,
  CONTEXT,
  cutMessages,
  cutTree,
  hookReminder,
  hookWrapper,
  metadataLine,
  reminder,
  renderedText,
  text,
  treeOf,
  user,
} from './fixtures/body.ts';

const HOOK = text(hookReminder());
const PLACEHOLDER = text('<system-reminder>hook context</system-reminder>');
const system = (content: unknown) => ({ role: 'system', content });
const marked = (value: string) => text(value, { cache_control: CACHE });

describe('cutMetadata', () => {
  test('gives back the very same buffer where there is nothing to cut', () => {
    const tree = treeOf({ messages: [user(text(`What is ${CANARY}?`))] });

    expect(cutMetadata(tree, acceptAll)).toEqual({ blocks: 0, newest: undefined, newestMessage: undefined });
    expect(renderBody(tree)).toBe(tree.bytes);
  });

  test('cuts all blocks of the history and tells the newest one, with its message', () => {
    const line = (prompt: string) => metadataLine({ prompt });
    const tree = treeOf({
      messages: [
        user(text(hookReminder(line('one'))), text('one')),
        assistant(text('1')),
        user(text('two')),
        system(`# Environment\n\n${CONTEXT}${line('two')}\n\nToday is Sunday.`),
      ],
    });

    const result = cutMetadata(tree, acceptAll);

    expect([result.blocks, result.newest?.prompt, result.newestMessage]).toEqual([2, 'two', tree.messages[3]]);
    expect(JSON.parse(renderedText(tree))).toEqual({
      messages: [
        user(text('one')),
        assistant(text('1')),
        user(text('two')),
        system('# Environment\n\nToday is Sunday.'),
      ],
    });
  });

  test('changes no byte around a piece that it cuts, however the rest is escaped', () => {
    const line = JSON.stringify(metadataLine({ prompt: '</b> é' }))
      .slice(1, -1)
      .replace('</b>', '\\u003c\\/b\\u003e')
      .replace('é', '\\u00e9');
    const json = `{"messages":[{"role":"user","content":"hi"},{"role":"system","content":"\\u0041\\/ é \\ud83d\\ude00\\n\\n${CONTEXT}${line}\\n\\n\\u003c \\t\\ud800"}] }`;

    expect(renderedText(cutTree(json))).toBe(
      '{"messages":[{"role":"user","content":"hi"},{"role":"system","content":"\\u0041\\/ é \\ud83d\\ude00\\n\\n\\u003c \\t\\ud800"}] }',
    );
  });

  test('cuts in string content as in a list', () => {
    expect(cutMessages([{ role: 'user', content: `${hookReminder()}\nHello` }])).toEqual([
      { role: 'user', content: 'Hello' },
    ]);
  });

  test.each([
    [
      'a tool’s result',
      [user({ type: 'tool_result', tool_use_id: 't', content: [HOOK] }, { type: 'tool_result', content: HOOK.text })],
    ],
    ['an assistant’s message', [user(text('a')), assistant(HOOK), assistant(text(hookWrapper()))]],
    ['a block of another type', [user({ type: 'document', text: HOOK.text })]],
    [
      'a text that is no UTF-8',
      Buffer.from(JSON.stringify({ messages: [user(text(`${hookReminder()}\nÿ`))] }), 'latin1'),
    ],
    [
      'a text with a bad escape',
      JSON.stringify({ messages: [user(text(`${hookReminder()}\nZ`))] }).replace('Z', '\\x'),
    ],
    ['the system prompt', { messages: [], system: [HOOK] }],
  ])('leaves a block in %s', (_, body) => {
    const tree = treeOf(Array.isArray(body) ? { messages: body } : body);

    expect(cutMetadata(tree, acceptAll).blocks).toBe(0);
    expect(renderBody(tree)).toBe(tree.bytes);
  });

  test('removes a message that is empty afterwards, and leaves one that was empty before', () => {
    const empty = { ...system([]), output_config: { effort: 'high' } };

    expect(
      cutMessages([user(text('a')), system(CONTEXT + metadataLine()), assistant(text('b')), user(text('c')), empty]),
    ).toEqual([user(text('a')), assistant(text('b')), user(text('c')), empty]);
  });

  test.each([
    ['it is the only one', [user(HOOK)], [user(PLACEHOLDER)]],
    ['all are emptied', [user(HOOK), user(HOOK)], [user(PLACEHOLDER)]],
    [
      'an assistant’s follows',
      [user(HOOK), assistant(text('a')), user(text('b'))],
      [user(PLACEHOLDER), assistant(text('a')), user(text('b'))],
    ],
    [
      'a system message follows',
      [{ role: 'user', content: HOOK.text }, system('Rules.')],
      [{ role: 'user', content: PLACEHOLDER.text }, system('Rules.')],
    ],
    ['another user’s follows, and takes its place', [user(HOOK), user(text('b'))], [user(text('b'))]],
  ])(
    'keeps a conversation that begins with a user’s message, when the first is emptied and %s',
    (_, messages, expected) => {
      expect(cutMessages(messages)).toEqual(expected);
    },
  );

  test.each([
    ['to the block before', [user(text('a'), marked(HOOK.text))], [user(marked('a'))]],
    [
      'to a message before, a string’s too',
      [{ role: 'user', content: 'a' }, assistant(text('b')), user(marked(HOOK.text)), user(text('c'))],
      [user(marked('a')), assistant(text('b')), user(text('c'))],
    ],
    ['behind, where nothing is before', [user(marked(HOOK.text), text('a'))], [user(marked('a'))]],
    [
      'onto one that is there already',
      [user(text('a', { cache_control: { type: 'ephemeral', ttl: '1h' } }), marked(HOOK.text))],
      [user(text('a', { cache_control: { type: 'ephemeral', ttl: '1h' } }))],
    ],
    [
      'with all of several',
      [user(text('a'), marked(HOOK.text), text('b'), marked(HOOK.text), text('c'))],
      [user(marked('a'), marked('b'), text('c'))],
    ],
    ['nowhere, when its text stays in part', [user(marked(`${hookReminder()}\na`))], [user(marked('a'))]],
    [
      'nowhere, when a reminder stands in for it',
      [user(marked(HOOK.text)), assistant(text('b'))],
      [user(marked(PLACEHOLDER.text)), assistant(text('b'))],
    ],
  ])('moves a cache marker %s', (_, messages, expected) => {
    expect(cutMessages(messages)).toEqual(expected);
  });

  test('leaves unsigned and forged blocks where a secret is set', () => {
    const signed = text(hookReminder(formatMetadata({ prompt: 'a' }, 'secret')));
    const forged = text(hookReminder(formatMetadata({ prompt: 'a' }, 'guess')));

    expect(cutMessages([user(signed, HOOK, forged, text('a'))], (line) => isSignedWith(line, 'secret'))).toEqual([
      user(HOOK, forged, text('a')),
    ]);
  });

  test('cuts in each of two user messages, one behind the other', () => {
    expect(cutMessages([user(HOOK, text('a')), user(HOOK, text('b'))])).toEqual([user(text('a')), user(text('b'))]);
  });

  // With a look back for each, such a body would take minutes.
  test.each<[string, number, (times: number) => object]>([
    ['texts', 6_000, (times) => user(...Array.from({ length: times }, () => HOOK), text('Tea?'))],
    // What stands right before a block of 1.0 is what was typed: every second one.
    ['pasted texts', 3_000, (times) => user(...Array.from({ length: 2 * times }, () => text(hookWrapper())))],
    ['lines', 20_000, (times) => user(text(reminder(`${CONTEXT}${metadataLine()}\n`.repeat(times))))],
  ])('is done with a message of very many %s', (_, times, message) => {
    const tree = treeOf({ messages: [message(times)] });

    expect(cutMetadata(tree, acceptAll).blocks).toBe(times);
  });
});
