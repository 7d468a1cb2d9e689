import { describe, expect, test } from '@jest/globals';
import { eventsOf, messageOf } from '@loom/shared/testing/answer.ts';
import { Answer } from '../../src/core/answer.ts';

const ANSWER = {
  thinking: 'Hm.',
  text: 'Café 😀.',
  toolUses: [
    { id: 'toolu_1', name: 'Read', input: { path: '/a', lines: [1, 2] } },
    { id: 'toolu_2', name: 'List', input: {} },
  ],
};
const BLOCKS = [
  { type: 'thinking', thinking: 'Hm.' },
  { type: 'text', text: 'Café 😀.' },
  { type: 'tool_use', id: 'toolu_1', name: 'Read', input: { path: '/a', lines: [1, 2] } },
  { type: 'tool_use', id: 'toolu_2', name: 'List', input: {} },
];

function streamed(events: object[]): Answer {
  const answer = new Answer(true);
  for (const event of events) answer.sseEvent(JSON.stringify(event));
  return answer;
}
const started = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block });
const grown = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta });

describe('AnswerBlocks', () => {
  test('are the blocks of a streamed answer and of a whole one, without signatures', () => {
    const whole = new Answer(true);
    whole.body(JSON.stringify(messageOf(ANSWER)));

    const { thinking: signed, ...unsigned } = { thinking: whole.blocks?.list[0], rest: whole.blocks?.list.slice(1) };
    expect(streamed(eventsOf(ANSWER)).blocks?.list).toEqual(BLOCKS);
    expect([signed, ...(unsigned.rest ?? [])]).toEqual(BLOCKS);
  });

  test('are not kept where nobody wants them', () => {
    const answer = new Answer();
    answer.body(JSON.stringify(messageOf(ANSWER)));

    expect(answer.blocks).toBeUndefined();
  });

  test('keep 60 KB of a block, and say how much is missing', () => {
    const deltas = Array.from({ length: 7 }, () => grown(0, { type: 'text_delta', text: 'a'.repeat(10_000) }));

    const answer = streamed([started(0, { type: 'text', text: '' }), ...deltas]);

    expect(answer.blocks?.list).toEqual([{ type: 'text', text: `${'a'.repeat(61_440)}… [+8560 characters]` }]);
  });

  test('keep the beginning of a tool’s input that is too long to be parsed whole', () => {
    const json = JSON.stringify({ path: '/a', text: 'a'.repeat(70_000) });

    const answer = streamed([
      started(0, { type: 'tool_use', id: 'toolu_1', name: 'Write', input: {} }),
      grown(0, { type: 'input_json_delta', partial_json: json }),
    ]);

    const kept = json.slice(0, 61_440).replace(/.*"/, '');
    const input = { path: '/a', text: `${kept}… [+${json.length - 61_440} characters]` };
    expect(answer.blocks?.list).toEqual([{ type: 'tool_use', id: 'toolu_1', name: 'Write', input }]);
  });

  test('are 64 at most, and pass over what is no block', () => {
    const blocks = Array.from({ length: 70 }, (_, index) => started(index, { type: 'text', text: 'a' }));

    const answer = streamed([started(99, null as never), ...blocks, grown(98, { text: 'nobody’s' })]);

    expect([answer.blocks?.list.length, answer.blocks?.dropped]).toEqual([64, 6]);
  });

  test('of an unknown kind are kept as they come, if they are small', () => {
    const small = { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [{ title: 'A' }] };
    const large = { type: 'web_fetch_tool_result', content: 'a'.repeat(70_000) };

    expect(streamed([started(0, small), started(1, large)]).blocks?.list).toEqual([
      small,
      { type: 'web_fetch_tool_result', omitted_bytes: 70_045 },
    ]);
  });
});
