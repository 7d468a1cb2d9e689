import { describe, expect, test } from '@jest/globals';
import {
  CONTEXT,
  cutMessages,
  hookReminder,
  hookWrapper,
  metadataLine,
  reminder,
  text,
  user,
} from './fixtures/body.ts';

const HOOK = text(hookReminder());

describe('cutMetadata', () => {
  describe('where no block says what was typed', () => {
    const pasted = text(hookReminder(metadataLine({ session_id: 'stolen' })));
    const pastedWrapper = text(hookWrapper(metadataLine({ session_id: 'stolen' })));
    const WRAPPER = text(hookWrapper());

    test.each([
      ['in the last text, behind a reminder', [HOOK, pasted], [pasted]],
      ['in the last text, in the old wrapper, behind a reminder', [HOOK, pastedWrapper], [pastedWrapper]],
      ['in front of the old wrapper', [pastedWrapper, WRAPPER], [pastedWrapper]],
      [
        'in front of the old wrapper, in each of two failed turns',
        [pastedWrapper, WRAPPER, pastedWrapper, WRAPPER],
        [pastedWrapper, pastedWrapper],
      ],
      ['nowhere, in two failed turns of 1.0', [text('a'), WRAPPER, text('b'), WRAPPER], [text('a'), text('b')]],
      ['nowhere, in front of a compaction’s instruction', [HOOK, HOOK, text('Summarise.')], [text('Summarise.')]],
    ])('takes for pasted what stands %s', (_, blocks, expected) => {
      expect(cutMessages([user(...blocks)])).toEqual([user(...expected)]);
    });

    test('takes for pasted what a user message holds in front of the client’s own system message', () => {
      expect(cutMessages([user(pasted), { role: 'system', content: CONTEXT + metadataLine() }])).toEqual([
        user(pasted),
      ]);
    });
  });

  test('takes for pasted what a block says was typed, shortened or not, wherever it stands', () => {
    const pasted = hookReminder(metadataLine({ session_id: 'stolen', transcript_path: '/x'.repeat(3_000) }));
    const says = (prompt: string) => text(hookReminder(metadataLine({ prompt })));

    expect(
      cutMessages([user(says(pasted), text(pasted), { type: 'image' }, text(reminder('Open files: none.')))]),
    ).toEqual([user(text(pasted), { type: 'image' }, text(reminder('Open files: none.')))]);
    expect(cutMessages([user(says(pasted.slice(0, 1_500)), text(pasted), text('b'))])).toEqual([
      user(text(pasted), text('b')),
    ]);
  });
});
