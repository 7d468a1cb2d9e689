import { describe, expect, test } from '@jest/globals';
import { eventsOf, messageOf } from '@loom/shared/testing/answer.ts';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { Answer } from '../../src/core/answer.ts';

const said = {
  text: 'Let me look.',
  toolUses: [{ id: 'toolu_1', name: 'Read', input: { path: '/a' } }],
  usage: { input_tokens: 7, cache_creation_input_tokens: 5, cache_read_input_tokens: 11, output_tokens: 42 },
};
const parts = {
  ...{ responseId: 'msg_01Scripted', responseModel: 'claude-sonnet-4-6', stopReason: 'tool_use', usage: said.usage },
  ...{ text: 'Let me look.', textTruncated: false, toolUses: [{ id: 'toolu_1', name: 'Read' }] },
};
const nothing = {
  responseId: null,
  responseModel: null,
  stopReason: null,
  usage: null,
  text: '',
  textTruncated: false,
  toolUses: [],
};

function streamed(...events: unknown[]): Answer {
  const answer = new Answer();
  for (const event of events) answer.sseEvent(JSON.stringify(event));
  return answer;
}

function whole(body: unknown): Answer {
  const answer = new Answer();
  answer.body(JSON.stringify(body));
  return answer;
}

const block = (...texts: string[]) => [
  { type: 'content_block_start', content_block: { type: 'text', text: '' } },
  ...texts.map((text) => ({ type: 'content_block_delta', delta: { type: 'text_delta', text } })),
];

describe('Answer', () => {
  test('says the same of a streamed message as of a whole one', () => {
    const answers = [streamed(...eventsOf(said)), whole(messageOf(said))];

    for (const answer of answers) expect({ ...answer }).toMatchObject({ parts, isComplete: true, errorType: null });
  });

  test('knows a stream that has not come to its end, and keeps what it said', () => {
    const answer = streamed(...eventsOf(said).slice(0, 5));

    expect([answer.isComplete, answer.parts]).toEqual([
      false,
      { ...parts, stopReason: null, usage: { ...said.usage, output_tokens: 1 }, toolUses: [] },
    ]);
  });

  test('joins text blocks by a blank line, and passes over empty ones', () => {
    const joined = 'one two\n\nthree';

    expect(streamed(...block(), ...block('one', ' two'), ...block(), ...block('three'), ...block()).parts.text).toBe(
      joined,
    );
    const content = ['', 'one two', '', 'three', ''].map((text) => ({ type: 'text', text }));
    expect(whole({ content }).parts.text).toBe(joined);
  });

  test.each([16_383, 16_384, 16_385])(
    'keeps 16,384 characters of text and says so when there were more: %i',
    (length) => {
      const text = 'x'.repeat(length);
      const expected = { text: text.slice(0, 16_384), textTruncated: length > 16_384 };

      expect(whole({ content: [{ type: 'text', text }] }).parts).toMatchObject(expected);
      expect(streamed(...block('', text.slice(0, 9), text.slice(9))).parts).toMatchObject(expected);
      expect(streamed(...block(text), ...block('more')).parts.textTruncated).toBe(length > 16_378);
    },
  );

  test('never ends in half a character', () => {
    const text = `${'x'.repeat(16_383)}\u{1f600}`;

    expect(streamed(...block(text)).parts.text).toBe(`${'x'.repeat(16_383)}\ufffd`);
  });

  test('keeps 200 tool uses', () => {
    const content = Array.from({ length: 201 }, (_, at) => ({
      type: 'tool_use',
      id: `t${at}`,
      name: 'Bash',
      input: {},
    }));

    expect(whole({ content }).parts.toolUses).toEqual(content.slice(0, 200).map(({ id, name }) => ({ id, name })));
  });

  test('lets a later count correct an earlier one, and no null undo it', () => {
    const answer = streamed(
      {
        type: 'message_start',
        message: { id: 'm', usage: { input_tokens: 7, output_tokens: 1, cache_read_input_tokens: 3 } },
      },
      { type: 'message_delta', delta: {}, usage: { output_tokens: 20, cache_read_input_tokens: null } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 42, new_count: 1 } },
      { type: 'message_delta', delta: { stop_reason: null }, usage: null },
    );

    expect(answer.parts).toMatchObject({
      stopReason: 'end_turn',
      usage: { input_tokens: 7, output_tokens: 42, cache_read_input_tokens: 3, new_count: 1 },
    });
  });

  test.each([
    ['overloaded_error', 'overloaded_error'],
    ['sk-ant-api03-KEY', 'unknown'],
    ['', 'unknown'],
    ['x'.repeat(65), 'unknown'],
  ])('takes of an error its type alone, and only if it is one: %s', (type, errorType) => {
    const error = { type, message: 'sk-ant-api03-KEY' };

    const answers = [streamed({ type: 'error', error }), whole({ type: 'error', error })];

    for (const answer of answers) expect([answer.errorType, answer.parts]).toEqual([errorType, nothing]);
  });

  test('passes over events and blocks that it does not know', () => {
    const answer = streamed(
      { type: 'unheard_of', message: { id: 'x' }, usage: { input_tokens: 1 } },
      { type: 'content_block_start', content_block: { type: 'new_block', text: 'x', id: 'x', name: 'x' } },
      { type: 'content_block_delta', delta: { type: 'new_delta', text: 'x' } },
      { type: 'content_block_start' },
      { type: 'message_start', message: 'none' },
      { type: 'ping' },
      { no: 'type' },
      null,
    );

    expect([answer.parts, answer.isComplete, answer.errorType]).toEqual([nothing, false, null]);
  });

  test('leaves out what would make its event unreadable or large', () => {
    const long = 'x'.repeat(300);
    const usage = { input_tokens: 'many', output_tokens: 2, service_tier: 'standard', [long]: 'y'.repeat(5_000) };
    const answer = streamed(
      { type: 'message_start', message: { id: long, usage } },
      { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: long, name: long } },
      { type: 'message_delta', delta: { stop_reason: long } },
    );

    const word = 'x'.repeat(200);
    expect(answer.parts).toEqual({
      ...nothing,
      ...{ responseId: word, stopReason: word, toolUses: [{ id: word, name: word }] },
      usage: { output_tokens: 2, service_tier: 'standard' },
    });
  });

  test('never throws, whatever the upstream says', () => {
    const type = fc.constantFrom(
      'message_start',
      'message_delta',
      'content_block_start',
      'content_block_delta',
      'error',
    );
    const event = fc.tuple(
      type,
      fc.constantFrom('message', 'delta', 'usage', 'content_block', 'error'),
      fc.jsonValue(),
    );
    const text = fc.oneof(
      fc.string(),
      event.map(([name, key, value]) => JSON.stringify({ type: name, [key]: value })),
    );

    holds(
      fc.property(fc.array(text), (texts) => {
        const answer = new Answer();
        for (const data of texts) {
          answer.sseEvent(data);
          answer.body(data);
        }
        expect(answer.parts.text.length).toBeLessThanOrEqual(16_384);
      }),
      300,
    );
  });
});
