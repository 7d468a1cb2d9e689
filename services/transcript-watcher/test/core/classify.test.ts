import { describe, expect, test } from '@jest/globals';
import { describeLine, payloadOf } from '../../src/core/classify.ts';

const facts = (line: string | Uint8Array) => {
  const { line: _, ...others } = describeLine(typeof line === 'string' ? Buffer.from(line) : line).facts;
  return others;
};
const message = (content: unknown) => facts(JSON.stringify({ type: 'user', message: { role: 'user', content } }));

const bare = { form: 'json', lineType: null, role: null, contentTypes: [], text: '', textTruncated: false };
const user = { ...bare, lineType: 'user', role: 'user' };
const raw = { ...bare, form: 'raw' };

describe('describeLine', () => {
  test('describes an answer with all that links it to other events', () => {
    const line = JSON.stringify({
      type: 'assistant',
      uuid: 'u-1',
      requestId: 'req_1',
      message: {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'Hm.' },
          { type: 'text', text: 'Tea is ready.' },
          { type: 'tool_use', id: 't', name: 'Pour', input: {} },
          { type: 'text', text: 'Come.' },
        ],
      },
    });

    expect(describeLine(Buffer.from(line))).toEqual({
      facts: {
        form: 'json',
        lineType: 'assistant',
        role: 'assistant',
        contentTypes: ['thinking', 'text', 'tool_use'],
        uuid: 'u-1',
        upstreamRequestId: 'req_1',
        text: 'Tea is ready.\n\nCome.',
        textTruncated: false,
        line,
      },
      json: line,
    });
  });

  test.each([
    ['a string for content', 'Tea?', { ...user, contentTypes: ['text'], text: 'Tea?' }],
    ['an empty string', '', { ...user, contentTypes: ['text'] }],
    [
      'a tool result, whose text is not the message’s',
      [{ type: 'tool_result', content: [{ type: 'text', text: 'hot' }] }],
      { ...user, contentTypes: ['tool_result'] },
    ],
    ['no list', { type: 'text', text: 'Tea?' }, user],
    ['blocks that are none', [null, 1, 'text', [], { type: 7 }, {}], user],
    ['a text that is none', [{ type: 'text', text: { a: 1 } }], { ...user, contentTypes: ['text'] }],
    [
      'many types',
      Array.from({ length: 40 }, (_, at) => ({ type: `t${at}` })),
      {
        ...user,
        contentTypes: Array.from({ length: 32 }, (_, at) => `t${at}`),
      },
    ],
    ['a lone surrogate', 'a\ud800b', { ...user, contentTypes: ['text'], text: 'a\ufffdb' }],
  ])('takes %s', (_, content, expected) => {
    expect(message(content)).toEqual(expected);
  });

  test.each([
    ['no members', '{}', bare],
    ['a message that is null', '{"type":"user","message":null}', { ...bare, lineType: 'user' }],
    ['a message that is a text', '{"type":"user","message":"hi"}', { ...bare, lineType: 'user' }],
    ['a message that is a list', '{"message":[{"role":"user"}]}', bare],
    ['members of other types', '{"type":1,"uuid":{},"requestId":[],"message":{"role":false}}', bare],
    ['a type as long as a text', `{"type":"${'x'.repeat(257)}"}`, bare],
    ['a member twice: the last one', '{"type":"a","type":"b"}', { ...bare, lineType: 'b' }],
    ['a prototype', '{"__proto__":{"type":"user","message":{"role":"user"}}}', bare],
    [
      'the names of what every object has',
      '{"type":"constructor","message":{"role":"toString"}}',
      {
        ...bare,
        lineType: 'constructor',
        role: 'toString',
      },
    ],
    ['spaces around it', ' {"type":"user"} ', { ...bare, lineType: 'user' }],
  ])('takes an object with %s', (_, line, expected) => {
    expect(facts(line)).toEqual(expected);
  });

  test.each([
    ['half an object', '{"type":"us'],
    ['a list', '[1,2]'],
    ['a number', '12'],
    ['null', 'null'],
    ['words', 'tea at four'],
    ['a byte order mark', '\ufeff{}'],
    ['two objects', '{}{}'],
  ])('keeps %s as it came', (_, line) => {
    expect(describeLine(Buffer.from(line))).toEqual({ facts: { ...raw, text: line, line } });
  });

  test('takes an object that is not UTF-8 for no object: nobody could read it as JSON', () => {
    const line = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff, 0xc3]), Buffer.from('"}')]);

    expect(describeLine(line)).toEqual({
      facts: { ...raw, text: '{"a":"\ufffd\ufffd"}', line: '{"a":"\ufffd\ufffd"}' },
    });
  });

  test('survives an object of any depth', () => {
    const depth = 500_000;
    const deep = `{"type":"user","a":${'['.repeat(depth)}${']'.repeat(depth)}}`;

    expect(facts(deep)).toEqual({ ...bare, lineType: 'user' });
  });

  test('cuts a text after 4 KiB of UTF-8, between two characters', () => {
    expect(message(`${'x'.repeat(4_094)}äö`)).toEqual({
      ...user,
      contentTypes: ['text'],
      text: `${'x'.repeat(4_094)}ä`,
      textTruncated: true,
    });
    expect(message('x'.repeat(4_096)).textTruncated).toBe(false);
    expect(message(`${'x'.repeat(4_093)}👩`)).toEqual({
      ...user,
      contentTypes: ['text'],
      text: 'x'.repeat(4_093),
      textTruncated: true,
    });
    expect(message(`${'x'.repeat(4_095)}👩`).text).toBe('x'.repeat(4_095));
  });

  test('gives the whole line up to 64 KiB', () => {
    const line = (bytes: number) => `{"a":"${'x'.repeat(bytes - 8)}"}`;

    expect(describeLine(Buffer.from(line(65_536))).facts.line).toBe(line(65_536));
    expect(describeLine(Buffer.from(line(65_537))).facts).toEqual(bare);
  });
});

describe('payloadOf', () => {
  test('carries the line as it stands, numbers, escapes and repeated keys alike', () => {
    const line =
      '{"type":"user", "n":1.0,"big":12345678901234567890,"e":"\\u00e4ä\\/","a":1,"a":2,"message":{"role":"user","content":"x"}}';

    expect(payloadOf('s-1', describeLine(Buffer.from(line)))).toBe(
      `{"session_id":"s-1","type":"user","role":"user","content_types":["text"],"raw":${line}}`,
    );
  });

  test('says null where the line does not say', () => {
    expect(payloadOf('s-1', describeLine(Buffer.from('{}')))).toBe(
      '{"session_id":"s-1","type":null,"role":null,"content_types":[],"raw":{}}',
    );
  });

  test('is none for a line that is no object', () => {
    expect(payloadOf('s-1', describeLine(Buffer.from('[1]')))).toBeUndefined();
  });
});
