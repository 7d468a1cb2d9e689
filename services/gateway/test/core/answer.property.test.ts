import { describe, expect, test } from '@jest/globals';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { Answer } from '../../src/core/answer.ts';

const START = '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}';
const piece = fc.string({
  unit: fc.constantFrom(
    'a',
    ' ',
    '"',
    '\\"',
    '\\n',
    '\\u00e9',
    '\\ud83d',
    '\\x',
    '\n',
    '\\',
    '}',
    '{',
    ',',
    'é',
    '👩‍💻',
  ),
  maxLength: 12,
});
/** A delta as the API writes it, and whatever is nearly one. */
const delta = fc
  .record({
    index: fc.constantFrom('0', '1', '00', '-0', '12', '99999', '0.0', '"0"'),
    type: fc.constantFrom('text_delta', 'thinking_delta', 'input_json_delta', 'signature_delta'),
    member: fc.constantFrom('text', 'thinking', 'partial_json', 'signature'),
    piece,
    quote: fc.constantFrom('"', '"', '"', ''),
    between: fc.constantFrom('', '', '  ', ',', ',"text":"b"'),
    after: fc.constantFrom('', '', '          ', '\n', '}', ',"usage":null'),
    end: fc.constantFrom('}', '}', '}', '} ', ''),
  })
  .map(
    ({ index, type, member, piece: text, quote, between, after, end }) =>
      `{"type":"content_block_delta","index":${index},"delta":{"type":"${type}","${member}":"${text}${quote}${between}}${after}${end}`,
  );

/** What an answer says of a delta, after the block that it may belong to. */
function told(data: string) {
  const answer = new Answer(true);
  let hasContent = false;
  answer.onContent = () => {
    hasContent = true;
  };
  answer.sseEvent(START);
  answer.sseEvent(data);
  return { hasContent, text: answer.parts.text, blocks: answer.blocks?.list };
}

describe('Answer, of a delta', () => {
  test('reads it in the API’s own form as it reads any JSON', async () => {
    const met = new Set<string>();

    await holds(
      fc.property(delta, (data) => {
        // A blank before it is as good to JSON, and not how the API writes.
        const expected = told(` ${data}`);

        expect(told(data)).toEqual(expected);
        met.add(expected.text !== '' ? 'said' : expected.hasContent ? 'unsaid' : 'no JSON');
      }),
      2_000,
    );

    reaches(met, ['said', 'unsaid', 'no JSON']);
  });
});
