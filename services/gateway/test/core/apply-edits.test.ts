import { describe, expect, test } from '@jest/globals';
import { assistant, CACHE, hookReminder, sha256, text, user } from './fixtures/body.ts';
import { add, check, edited, refusal, remove, replace } from './fixtures/edits.ts';

const BILLING = text('x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=cli;');
const marked = (value: string) => text(value, { cache_control: CACHE });
const BODY = {
  messages: [
    { role: 'user', content: 'one' },
    assistant(text('1')),
    user(text('two'), { type: 'image' }, marked('three')),
  ],
  system: [BILLING, marked('identity'), marked('rules')],
};
const LAST = '/messages/2/content';

describe('applyEdits', () => {
  test('replaces texts and blocks, inserts, removes, in system and in messages', () => {
    const { tree, body, results } = edited(BODY, [
      replace('/system/1/text', 'I am Alpha.'),
      { op: 'replace', path: `${LAST}/0`, value: { type: 'text', text: '2' } },
      add(`${LAST}/1`, 'between'),
      add('/system/-', 'more rules'),
      remove('/system/2'),
    ]);

    expect(results).toEqual([
      { applied: true, durable: [], touched: new Set([tree.messages[2]]), bytes: { before: 16, after: 29 } },
    ]);
    expect(body).toEqual({
      messages: [
        BODY.messages[0],
        BODY.messages[1],
        user(text('2'), text('between'), { type: 'image' }, marked('three')),
      ],
      system: [BILLING, marked('I am Alpha.'), text('more rules')],
    });
  });

  test('keeps the cache marker of a list whose only block is replaced by another one', () => {
    const only = { messages: [user(marked('one'))], system: [marked('identity')] };
    const edits = ['/system', '/messages/0/content'].flatMap((at) => [add(`${at}/-`, 'new'), remove(`${at}/0`)]);

    expect(edited(only, edits).body).toEqual({ messages: [user(marked('new'))], system: [marked('new')] });
  });

  test('addresses string content as a list of one block, and writes it so only where it must', () => {
    const body = {
      messages: [
        { role: 'user', content: 'one' },
        { role: 'system', content: 'two' },
      ],
      system: 'three',
    };

    expect(
      edited(body, [
        replace('/messages/0/content/0/text', '1'),
        add('/messages/1/content/-', '2'),
        add('/system/0', 'zero'),
      ]).body,
    ).toEqual({
      messages: [
        { role: 'user', content: '1' },
        { role: 'system', content: [text('two'), text('2')] },
      ],
      system: [text('zero'), text('three')],
    });
    expect(edited(body, [add('/system/-', 'four'), remove('/system/0')]).body.system).toEqual([text('four')]);
  });

  test('counts the messages and blocks that go upstream, not those that were cut', () => {
    const hook = text(hookReminder());
    const messages = [
      user(text('one')),
      { role: 'system', content: [hook] },
      assistant(text('1')),
      user(hook, text('two')),
    ];

    expect(edited({ messages }, [replace('/messages/2/content/0/text', '2')]).body.messages).toEqual([
      user(text('one')),
      assistant(text('1')),
      user(text('2')),
    ]);
  });

  test('leaves every byte outside of its edits as it was', () => {
    const json =
      '{ "max_tokens":1.0,"messages":[ {"content":[{"type":"text" , "text":"\\u0061\\/"},{"text":"b","type":"text"}],"role":"user"}]}';

    expect(edited(json, [replace('/messages/0/content/1/text', 'é"'), add('/messages/0/content/0', 'new')]).json).toBe(
      '{ "max_tokens":1.0,"messages":[ {"content":[{"type":"text","text":"new"},{"type":"text" , "text":"\\u0061\\/"},{"text":"é\\"","type":"text"}],"role":"user"}]}',
    );
  });

  test('lets later operations count what earlier ones of the same answer did', () => {
    const edits = [
      add(`${LAST}/0`, 'zero'),
      check(`${LAST}/0/text`, 'zero'),
      remove(`${LAST}/1`),
      replace(`${LAST}/2/text`, '3'),
      check(`${LAST}/2/text`, '3'),
      replace(`${LAST}/2/text`, '4'),
    ];

    expect(edited(BODY, edits).body.messages[2]).toEqual(user(text('zero'), { type: 'image' }, marked('4')));
  });

  test('a test compares a text, or a block whatever the order of its members', () => {
    const passes = (path: string, value: unknown) => refusal(edited(BODY, [check(path, value)])) === undefined;

    expect({
      text: passes('/messages/0/content/0/text', 'one'),
      block: passes(`${LAST}/0`, { text: 'two', type: 'text' }),
      otherBlock: passes(`${LAST}/1`, { type: 'image' }),
      answer: passes('/messages/1/content/0/text', '1'),
      anotherText: passes('/messages/0/content/0/text', 'One'),
      anotherType: passes(`${LAST}/0`, { text: 'two', type: 'image' }),
      moreMembers: passes(`${LAST}/0`, { text: 'two', type: 'text', more: 1 }),
      noText: passes(`${LAST}/1/text`, undefined),
      nothing: passes(`${LAST}/0`, null),
    }).toEqual({
      text: true,
      block: true,
      otherBlock: true,
      answer: false,
      anotherText: false,
      anotherType: false,
      moreMembers: false,
      noText: false,
      nothing: false,
    });
  });

  test('moves the marker of a block that it removes', () => {
    expect(edited(BODY, [remove(`${LAST}/2`)]).body.messages[2]).toEqual(
      user(text('two'), { type: 'image', cache_control: CACHE }),
    );
    expect(edited({ ...BODY, system: [BILLING, marked('a'), text('b')] }, [remove('/system/1')]).body.system).toEqual([
      BILLING,
      marked('b'),
    ]);
  });

  test('moves a marker on that a cut block left behind', () => {
    const messages = [user(text('one'), text('two'), marked(hookReminder()), text('three'))];

    expect(edited({ messages }, [remove('/messages/0/content/1')]).body.messages).toEqual([
      user(marked('one'), text('three')),
    ]);
  });

  test('gives durable edits back as the exact bytes that went into the body', () => {
    const { results, json } = edited(BODY, [
      replace('/messages/0/content/0/text', 'é "1"', true),
      add(`${LAST}/-`, 'more', true),
      add('/system/-', 'x'),
    ]);

    const durable = results[0]?.applied ? results[0].durable.map(({ edit }) => edit) : [];
    expect(durable).toEqual([
      { kind: 'replace', of: sha256('one'), json: '"é \\"1\\""' },
      { kind: 'append', json: '{"type":"text","text":"more"}' },
    ]);
    for (const edit of durable) expect(json).toContain(edit.json);
  });
});
