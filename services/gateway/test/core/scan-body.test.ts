import { describe, expect, test } from '@jest/globals';
import { cpuMs } from '@loom/shared/testing/cpu-ms.ts';
import { decodeToken } from '../../src/core/json-text.ts';
import { scanBody } from '../../src/core/scan-body.ts';
import { treeOf } from './fixtures/body.ts';

const MESSAGES = '"messages":[{"role":"user","content":"Hello"}]';
const scan = (json: string | Buffer) => scanBody(Buffer.from(json));

describe('scanBody', () => {
  test('says where messages, blocks, texts and small members lie', () => {
    const json =
      '{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"x"}}]}],' +
      '"system":"Be brief.","tools":[{"name":"a"},{"name":"b"}],"stream":true}';

    const tree = treeOf(json);

    const at = (span: { start: number; end: number } | undefined) => span && json.slice(span.start, span.end);
    const block = tree.messages[0]?.content?.blocks[0];
    expect({
      messages: at(tree.messagesSpan),
      roles: tree.messages.map(({ role }) => role),
      text: at(block?.text),
      cacheControl: at(block?.cacheControl),
      system: at(tree.system),
      systemIsString: tree.system?.isString,
      tools: tree.tools,
      members: [...tree.members].map(([key, span]) => [key, at(span)]),
    }).toEqual({
      messages: '[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"x"}}]}]',
      roles: ['user'],
      text: '"Hi"',
      cacheControl: '{"type":"x"}',
      system: '"Be brief."',
      systemIsString: true,
      tools: 2,
      members: [
        ['model', '"m"'],
        ['tools', '[{"name":"a"},{"name":"b"}]'],
        ['stream', 'true'],
      ],
    });
  });

  test.each([
    ['invalid JSON', `{${MESSAGES},}`],
    ['a trailing word', `{${MESSAGES}} x`],
    ['a number that JSON has not', `{${MESSAGES},"n":01}`],
    ['a literal that JSON has not', `{${MESSAGES},"n":nul}`],
    ['a list that ends in a comma', `{${MESSAGES},"n":[1,]}`],
    ['an open string', `{${MESSAGES},"n":"a`],
    ['a string that ends in half an escape', `{${MESSAGES},"n":"\\"`],
    ['a list at the top', `[{${MESSAGES}}]`],
    ['no messages', '{"model":"m"}'],
    ['messages that are no list', '{"messages":{}}'],
    ['messages twice', `{${MESSAGES},${MESSAGES}}`],
    ['messages twice, once in escapes', `{${MESSAGES},"m\\u0065ssages":[]}`],
    ['a role twice', '{"messages":[{"role":"user","role":"assistant","content":""}]}'],
    ['content twice, once of another shape', '{"messages":[{"role":"user","content":"a","content":null}]}'],
    ['a text twice, once of another shape', '{"messages":[{"role":"user","content":[{"text":"a","text":1}]}]}'],
    ['tools twice, once of another shape', `{${MESSAGES},"tools":[1],"tools":null}`],
    [
      'a key that is no UTF-8',
      Buffer.concat([Buffer.from(`{${MESSAGES},"`), Buffer.from([0xff]), Buffer.from('":1}')]),
    ],
    ['a byte order mark in front', `\ufeff{${MESSAGES}}`],
    ['an empty body', ''],
  ])('follows nothing with %s', (_, json) => {
    expect(scan(json)).toBeUndefined();
  });

  test('passes over keys that matter to nobody, however often they stand there', () => {
    expect(scan(`{${MESSAGES},"n":1,"n":2,"__proto__":{},"__proto__":[]}`)?.messages.length).toBe(1);
  });

  test('reads a key that is written in escapes', () => {
    expect(treeOf('{"m\\u0065ssages":[{"r\\u006fle":"us\\u0065r","content":"a"}]}').messages[0]?.role).toBe('user');
  });

  test('does not take a key with a byte order mark for the key without', () => {
    expect(treeOf('{"messages":[{"role":"user","\ufeffrole":"assistant","content":"a"}]}').messages[0]?.role).toBe(
      'user',
    );
  });

  test('passes over messages, contents and blocks of an unknown shape', () => {
    const tree = treeOf(
      '{"messages":[7,null,"a",{"role":{"a":1},"content":{"a":[1]}},{"content":[1,"b",[],{},{"type":2}]}]}',
    );

    expect(tree.messages.map(({ role, content }) => [role, content?.blocks.map(({ type }) => type)])).toEqual([
      ['', undefined],
      ['', undefined],
      ['', undefined],
      ['', undefined],
      ['', ['', '', '', '', '']],
    ]);
  });

  test('finds the end of a string that is longer than what is searched at once, wherever its escapes fall', () => {
    const followed = Array.from({ length: 60 }, (_, shift) => {
      const text = `${'a'.repeat(65_500 + shift)}\\\\"\\"é${'b'.repeat(65_530)}\\"\\`;
      const tree = treeOf(JSON.stringify({ messages: [{ role: 'user', content: text }, { role: 'assistant' }] }));
      const token = tree.messages[0]?.content?.blocks[0]?.text;
      return tree.messages[1]?.role === 'assistant' && token && decodeToken(tree.bytes, token) === text;
    });

    expect(followed.every(Boolean)).toBe(true);
  });

  test('finds the end of strings whose quotes are escaped, near and far from one another', () => {
    const values = ['"', '\\', '\\"', '"'.repeat(999), '\\'.repeat(999), `"${'x'.repeat(200)}\\"${'y'.repeat(63)}"\\`];

    const tree = treeOf({ messages: values.map((content) => ({ role: 'user', content })) });

    const texts = tree.messages.map(({ content }) =>
      decodeToken(tree.bytes, content?.blocks[0]?.text ?? { start: 0, end: 0 }),
    );
    expect(texts).toEqual(values);
  });

  test.each([
    ['brackets', '['.repeat(1_000_000)],
    ['brackets in messages', `{"messages":${'['.repeat(1_000_000)}`],
    ['braces', `{"messages":[${'{"content":['.repeat(100_000)}`],
    ['objects', `{"a":${'{"a":'.repeat(200_000)}`],
    ['backslashes', `{"messages":[],"a":"${'\\'.repeat(1_000_001)}"}`],
    ['quotes in escapes without an end', `{"messages":[],"a":"${'\\"'.repeat(500_000)}`],
    ['digits', `{"messages":[],"a":${'1'.repeat(1_000_000)}e}`],
  ])('gives up on a megabyte of %s at once', (_, json) => {
    expect(cpuMs(() => expect(scan(json)).toBeUndefined())).toBeLessThan(5_000);
  });
});
