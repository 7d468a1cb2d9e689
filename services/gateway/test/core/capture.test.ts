import { describe, expect, test } from '@jest/globals';
import { Answer } from '../../src/core/answer.ts';
import type { BodyTree } from '../../src/core/body-tree.ts';
import { type CaptureOptions, captureExchange } from '../../src/core/capture.ts';
import { assistant, CACHE, cutTree, hookReminder, metadataLine, sha256, text, treeOf, user } from './fixtures/body.ts';
import { add, edited, replace } from './fixtures/edits.ts';

const PIXEL = Buffer.from('not quite a picture');
const image = (bytes: Buffer) => ({
  type: 'image',
  source: { type: 'base64', media_type: 'image/png', data: bytes.toString('base64') },
});
const shownImage = (bytes: Buffer) => ({
  type: 'image',
  media_type: 'image/png',
  sha256: sha256(bytes),
  bytes: bytes.length,
});
const result = (content: unknown, more: object = {}) => ({
  tool_use_id: 'toolu_1',
  type: 'tool_result',
  content,
  ...more,
});

function capture(tree: BodyTree | undefined, options: Partial<CaptureOptions> = {}, answer?: Answer) {
  const steps = captureExchange(tree, answer?.blocks, { mode: 'delta', redact: [], sha256, ...options });
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
/** The blocks of the newest message. */
const shown = (...blocks: object[]) => capture(treeOf({ messages: [user(...blocks)] })).input[0]?.content;

describe('captureExchange', () => {
  test('shows what is new since the last answer, and how the model was steered', () => {
    const answer = new Answer(true);
    answer.body(
      JSON.stringify({ content: [text('Hello.'), { type: 'tool_use', id: 'toolu_2', name: 'Read', input: {} }] }),
    );
    const tree = treeOf({
      model: 'm',
      system: [text('Be brief.')],
      messages: [
        user(text('One.')),
        assistant(text('1')),
        user(result('2', { is_error: true })),
        { role: 'system', content: 'Rules.' },
      ],
      tools: [{ name: 'Read' }],
      metadata: { user_id: 'user_1' },
      ...{ max_tokens: 9, temperature: 1, thinking: { type: 'adaptive' }, tool_choice: { type: 'auto' }, stream: true },
    });

    expect(capture(tree, {}, answer)).toEqual({
      capture: 'delta',
      input: [
        { role: 'user', content: [result('2', { is_error: true })] },
        { role: 'system', content: [text('Rules.')] },
      ],
      inputOmitted: 2,
      parameters: { max_tokens: 9, temperature: 1, thinking: { type: 'adaptive' }, tool_choice: { type: 'auto' } },
      output: [text('Hello.'), { type: 'tool_use', id: 'toolu_2', name: 'Read', input: {} }],
      truncated: false,
    });
  });

  test('shows all of it in full capture: every message, the system prompt, the tools’ names', () => {
    const tree = treeOf({
      system: 'Be brief.',
      messages: [
        user(text('One.')),
        assistant({ type: 'thinking', thinking: 'Hm.', signature: 'x' }, text('1')),
        user(text('Two.')),
      ],
      tools: [{ name: 'Read', input_schema: {} }, { name: 'Bash' }],
    });

    expect(capture(tree, { mode: 'full' })).toEqual({
      capture: 'full',
      input: [user(text('One.')), assistant({ type: 'thinking', thinking: 'Hm.' }, text('1')), user(text('Two.'))],
      inputOmitted: 0,
      system: [text('Be brief.')],
      tools: ['Read', 'Bash'],
      parameters: {},
      output: [],
      truncated: false,
    });
  });

  test('shows a body that nobody could follow as nothing', () => {
    expect(capture(undefined)).toEqual({
      ...{ capture: 'delta', input: [], inputOmitted: 0, parameters: {}, output: [], truncated: false },
    });
  });

  test('shows what went upstream: metadata cut, edits applied, cache markers left out', () => {
    const { tree } = edited(
      { messages: [user(text(hookReminder()), text('tea?', { cache_control: CACHE }), text('now'))] },
      [replace('/messages/0/content/1/text', 'Now!'), add('/messages/0/content/2', 'blue')],
    );

    expect(capture(tree).input).toEqual([user(text('tea?'), text('Now!'), text('blue'))]);
  });

  test('shows what is left of a text that a block was cut from', () => {
    const tree = cutTree({
      messages: [
        { role: 'user', content: 'tea?' },
        { role: 'system', content: `UserPromptSubmit hook success: ${metadataLine()}\n\nRules.` },
      ],
    });

    expect(capture(tree).input).toEqual([user(text('tea?')), { role: 'system', content: [text('Rules.')] }]);
  });

  test('names images and documents by what is in them, in tool results too, however large they are', () => {
    const large = Buffer.alloc(500_000, 'picture');
    const plain = {
      type: 'document',
      title: 'Notes',
      source: { type: 'text', media_type: 'text/plain', data: 'Tea.' },
    };

    expect(shown(image(PIXEL), result([text('Here.'), image(large)]), plain)).toEqual([
      shownImage(PIXEL),
      result([text('Here.'), shownImage(large)]),
      {
        ...{ type: 'document', title: 'Notes', media_type: 'text/plain' },
        ...{ sha256: sha256('Tea.'), bytes: 4 },
      },
    ]);
    expect(shown({ type: 'image', source: { type: 'url', url: 'https://a.example/b.png' } })).toEqual([
      { type: 'image', source: { type: 'url', url: 'https://a.example/b.png' } },
    ]);
  });

  test('cuts long texts inside the JSON, in strings and lists alike', () => {
    const long = 'é'.repeat(20_000);
    const cut = `${'é'.repeat(16_384)}… [+3616 characters]`;

    const captured = capture(treeOf({ messages: [user(result(long), result([text(long)]), text(long))] }));

    expect(captured.input).toEqual([user(text(cut))]);
    expect([captured.inputDropped, captured.truncated]).toEqual([2, true]);
    expect(shown(result('a'.repeat(20_000)), text('b'.repeat(20_000)))).toEqual([
      result(`${'a'.repeat(16_384)}… [+3616 characters]`),
      text(`${'b'.repeat(16_384)}… [+3616 characters]`),
    ]);
  });

  test('leaves out the oldest blocks of a list that is too large, and says how many', () => {
    const blocks = Array.from({ length: 100 }, (_, at) => result('x'.repeat(1_000), { tool_use_id: `toolu_${at}` }));

    const { input, inputDropped, truncated } = capture(treeOf({ messages: [user(...blocks)] }));

    const ids = input[0]?.content.map(({ tool_use_id: id }) => id) ?? [];
    expect(Buffer.byteLength(JSON.stringify(input))).toBeLessThan(61_440 + 1_000);
    expect(ids).toEqual(blocks.map(({ tool_use_id: id }) => id).slice(-ids.length));
    expect([inputDropped, truncated]).toEqual([100 - ids.length, true]);
  });

  test('tells of a block that is too large with all its texts cut by its names alone', () => {
    const input = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`key${at}`, 'x'.repeat(1_000)]));
    const huge = Array.from({ length: 400_000 }, () => 'abc');

    expect(shown({ type: 'tool_use', id: 'toolu_1', name: 'Write', input })).toEqual([
      { type: 'tool_use', id: 'toolu_1', name: 'Write', omitted_bytes: expect.any(Number) },
    ]);
    expect(shown(result(huge))).toEqual([
      { type: 'tool_result', tool_use_id: 'toolu_1', omitted_bytes: expect.any(Number) },
    ]);
  });

  test('shows the beginning of a result that is too large to be looked through', () => {
    const quoted = { type: 'tool_result', content: 'say "x"\n'.repeat(200_000), tool_use_id: 'toolu_1' };

    expect(shown(quoted)?.[0]).toEqual({
      ...{ type: 'tool_result', tool_use_id: 'toolu_1' },
      content: expect.stringMatching(/^(?:say "x"\n){2048}… \[\+\d{7} characters\]$/),
    });
  });

  test('redacts requests, answers and parameters, and the account’s address, before anything is cut', () => {
    const secret = 'PRJ-123456';
    const answer = new Answer(true);
    answer.body(JSON.stringify({ content: [{ type: 'tool_use', id: 't', name: 'Bash', input: { command: secret } }] }));
    const tree = treeOf({
      messages: [user(text(`${'a'.repeat(16_380)}${secret}`), result(`mail sam@example.org about ${secret}`))],
      metadata: { user_id: 'account sam@example.org' },
      stop_sequences: [secret],
    });

    const json = JSON.stringify(capture(tree, { redact: [/PRJ-\d+/gu] }, answer));

    expect([json.includes('PRJ'), json.includes('123456'), json.includes('sam@')]).toEqual([false, false, false]);
    expect(json).toContain('[redacted]');
  });
});
