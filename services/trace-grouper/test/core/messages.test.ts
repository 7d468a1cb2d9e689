import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { z } from 'zod';
import { inputMessages, type Message, messageList, outputMessages } from '../../src/core/messages.ts';

/** What Phoenix takes: one message that is not of this form, and it drops the whole list. */
const Part = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), content: z.string() }),
  z.object({ type: z.literal('reasoning'), content: z.string() }),
  z.object({ type: z.literal('tool_call'), id: z.string(), name: z.string(), arguments: z.unknown() }),
  z.object({ type: z.literal('tool_call_response'), id: z.string(), response: z.string() }),
  z.object({ type: z.literal('uri'), modality: z.literal('image'), mime_type: z.string(), uri: z.string() }),
]);
const Messages = z.array(
  z.object({
    role: z.enum(['system', 'user', 'assistant', 'tool']),
    parts: z.array(Part),
    finish_reason: z.string().optional(),
  }),
);

describe('inputMessages', () => {
  test('makes each of several tool results a message of its own, and keeps the text between them', () => {
    const content = [
      { type: 'tool_result', tool_use_id: 'toolu_1', content: 'door.txt' },
      {
        type: 'tool_result',
        tool_use_id: 'toolu_2',
        content: [{ type: 'text', text: 'no such file' }, { type: 'image' }],
        is_error: true,
      },
      { type: 'text', text: 'Go on.' },
      { type: 'text', text: 'Please.' },
    ];

    expect(inputMessages([{ role: 'user', content }])).toEqual([
      { role: 'tool', parts: [{ type: 'tool_call_response', id: 'toolu_1', response: 'door.txt' }] },
      {
        role: 'tool',
        parts: [{ type: 'tool_call_response', id: 'toolu_2', response: 'no such file\n[image]', is_error: true }],
      },
      {
        role: 'user',
        parts: [
          { type: 'text', content: 'Go on.' },
          { type: 'text', content: 'Please.' },
        ],
      },
    ]);
  });

  test('names images by their hash, and other blocks by their type', () => {
    const content = [
      { type: 'image', media_type: 'image/png', sha256: 'ab12', bytes: 10 },
      { type: 'document', media_type: 'application/pdf', sha256: 'cd34', bytes: 10 },
    ];

    expect(inputMessages([{ role: 'user', content }])).toEqual([
      {
        role: 'user',
        parts: [
          { type: 'uri', modality: 'image', mime_type: 'image/png', uri: 'sha256:ab12' },
          { type: 'text', content: '[document]' },
        ],
      },
    ]);
  });

  test('keeps a role that says who speaks, and no other', () => {
    const roles = ['user', 'assistant', 'system', 'narrator'];

    const messages = inputMessages(roles.map((role) => ({ role, content: [{ type: 'text', text: 'hi' }] })));

    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'system', 'user']);
  });
});

describe('outputMessages', () => {
  test('tells what was thought, said and asked for', () => {
    const output = [
      { type: 'thinking', thinking: 'I should look.', signature: 'x' },
      { type: 'redacted_thinking', data: 'x' },
      { type: 'text', text: 'Let me see.' },
      { type: 'tool_use', id: 'toolu_1', name: 'Bash', input: { command: 'ls' } },
    ];

    expect(outputMessages(output, 'tool_use')).toEqual([
      {
        role: 'assistant',
        parts: [
          { type: 'reasoning', content: 'I should look.' },
          { type: 'text', content: 'Let me see.' },
          { type: 'tool_call', id: 'toolu_1', name: 'Bash', arguments: { command: 'ls' } },
        ],
        finish_reason: 'tool_call',
      },
    ]);
  });

  test.each([
    ['end_turn', 'stop'],
    ['max_tokens', 'length'],
    ['refusal', 'content_filter'],
    ['pause_turn', 'pause_turn'],
    [null, 'error'],
  ])('gives the reason %s as %s', (stopReason, finishReason) => {
    const [message] = outputMessages([{ type: 'text', text: 'hi' }], stopReason);

    expect(message?.finish_reason).toBe(finishReason);
  });

  test('is empty for an answer that nobody can read', () => {
    expect(outputMessages([{ type: 'thinking', thinking: '' }], 'end_turn')).toEqual([]);
  });
});

describe('messageList', () => {
  const message = (content: string): Message => ({ role: 'user', parts: [{ type: 'text', content }] });

  test('leaves the oldest messages out first', () => {
    const list = messageList([message('one'), message('two'), message('three')], 130);

    expect(list).toEqual({
      json: JSON.stringify([message('two'), message('three')]),
      omitted: 1,
      truncated: true,
    });
  });

  test('leaves the oldest parts of the only message out where it does not fit alone', () => {
    const parts = ['one', 'two', 'three'].map((content) => ({ type: 'text' as const, content }));

    const list = messageList([{ role: 'user', parts }], 110);

    expect(list).toEqual({
      json: '[{"role":"user","parts":[{"type":"text","content":"two"},{"type":"text","content":"three"}]}]',
      omitted: 0,
      truncated: true,
    });
  });

  test('has no JSON for no messages', () => {
    expect(messageList([])).toEqual({ json: undefined, omitted: 0, truncated: false });
  });

  test('is a list that Phoenix takes, within its limit, whatever was captured', () => {
    const rarely = (text: string) => ({ weight: 1, arbitrary: fc.constant(text) });
    const mostly = <T>(arbitrary: fc.Arbitrary<T>) => ({ weight: 8, arbitrary });
    const block = fc.record(
      {
        type: fc.constantFrom('text', 'thinking', 'tool_use', 'tool_result', 'image', 'redacted_thinking', 'novel'),
        text: fc.oneof(mostly(fc.string({ unit: 'binary' })), mostly(fc.integer()), rarely('\u0001'.repeat(40_000))),
        thinking: fc.string(),
        id: fc.oneof(fc.string(), fc.integer()),
        name: fc.string(),
        input: fc.jsonValue(),
        tool_use_id: fc.string(),
        content: fc.oneof(mostly(fc.string()), mostly(fc.jsonValue()), rarely('ü'.repeat(70_000))),
        is_error: fc.boolean(),
        sha256: fc.string(),
      },
      { requiredKeys: ['type'] },
    );
    const captured = fc.array(
      fc.record({ role: fc.constantFrom('user', 'assistant', 'system'), content: fc.array(block, { maxLength: 5 }) }),
      { maxLength: 5 },
    );

    holds(
      fc.property(captured, (messages) => {
        const { json } = messageList(inputMessages(messages));

        expect(Buffer.byteLength(json ?? '')).toBeLessThanOrEqual(60_000);
        expect(Messages.safeParse(JSON.parse(json ?? '[]')).error).toBeUndefined();
      }),
      30,
    );
  });
});
