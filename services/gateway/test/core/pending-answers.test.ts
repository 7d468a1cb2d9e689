import { describe, expect, test } from '@jest/globals';
import { PendingAnswers } from '../../src/core/pending-answers.ts';

const proposal = (requestId: string, rewriter: string) => ({
  requestId,
  rewriter,
  replica: 'r',
  bodySha256: '0',
  edits: [],
});

describe('PendingAnswers', () => {
  test('calls back once with the answer of that rewriter to that request', () => {
    const pending = new PendingAnswers();
    const calls: string[] = [];
    pending.open('q1', 'a', ({ requestId, rewriter }) => calls.push(`${requestId} ${rewriter}`));

    const taken = [
      ['q1', 'b'],
      ['q2', 'a'],
      ['q1', 'a'],
      ['q1', 'a'],
    ].map(([id, name]) => pending.answer(proposal(id as string, name as string)));

    expect([taken, calls]).toEqual([[false, false, true, false], ['q1 a']]);
  });

  test('takes no answer to a question that was withdrawn', () => {
    const pending = new PendingAnswers();
    pending.open('q1', 'a', () => {
      throw new Error('expected no call');
    });

    pending.withdraw('q1', 'a');

    expect(pending.answer(proposal('q1', 'a'))).toBe(false);
  });
});
