import { describe, expect, test } from '@jest/globals';
import { redactWith } from '../../src/core/redact.ts';
import { call, said } from '../sample-turn.ts';

const redact = redactWith([/PRJ-\d{6}/gu]);

describe('redactWith', () => {
  test('takes out what a pattern matches, and credentials without one', () => {
    expect(redact.text('PRJ-123456 and PRJ-654321: sk-ant-api03-abc', false)).toBe(
      '[redacted] and [redacted]: [credential]',
    );
    expect(redactWith([]).text('Bearer abcdefghi', true)).toBe('Bearer [credential]');
  });

  test('leaves out the end of a text that was cut, which may be half of a match', () => {
    const cut = `${'a'.repeat(300)}PRJ-123`;

    expect(redact.text(cut, true)).toBe('a'.repeat(51));
    expect(redact.text(cut, false)).toBe(cut);
    // A match that the cut would go through is gone before it.
    expect(redact.text(`${'a'.repeat(20)}PRJ-123456${'b'.repeat(250)}`, true)).toBe(`${'a'.repeat(20)}[red`);
    expect(redactWith([]).text(cut, true)).toBe(cut);
  });

  test('takes it out of every text of a capture, and leaves the names by which its parts find each other', () => {
    const content = [
      { type: 'tool_result', tool_use_id: 'PRJ-123456', content: [{ type: 'text', text: 'PRJ-123456' }] },
    ];
    const output = [{ type: 'tool_use', id: 'PRJ-123456', name: 'Bash', input: { 'PRJ-1': ['PRJ-123456', 7, null] } }];
    const system = [{ type: 'text', text: 'PRJ-123456' }];
    const parameters = { stop: 'PRJ-123456' };
    const { captured } = said({ input: [{ role: 'user', content }], output, system, parameters });

    expect(redact.capture(captured as NonNullable<typeof captured>)).toEqual({
      ...call().captured,
      input: [
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'PRJ-123456', content: [{ type: 'text', text: '[redacted]' }] },
          ],
        },
      ],
      output: [{ type: 'tool_use', id: 'PRJ-123456', name: 'Bash', input: { 'PRJ-1': ['[redacted]', 7, null] } }],
      system: [{ type: 'text', text: '[redacted]' }],
      parameters: { stop: '[redacted]' },
    });
  });
});
