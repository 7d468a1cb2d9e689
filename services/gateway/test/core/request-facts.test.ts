import { describe, expect, test } from '@jest/globals';
import { rateLimitsOf, utilizationOf } from '../../src/core/rate-limits.ts';
import { toolResultsOf } from '../../src/core/tool-results.ts';
import { assistant, text, treeOf, user } from './fixtures/body.ts';

describe('toolResultsOf', () => {
  test('says which tools gave back what since the last answer, and which failed', () => {
    const result = (id: unknown, more: object = {}) => ({
      type: 'tool_result',
      tool_use_id: id,
      content: 'x',
      ...more,
    });
    const tree = treeOf({
      messages: [
        user(result('old')),
        assistant(text('1')),
        user(result('a', { is_error: true }), result('b\n', { is_error: false }), result('c', { is_error: 'true' })),
        user(result(7), result('x'.repeat(300)), { type: 'tool_result' }, text('tea?')),
      ],
    });

    expect(toolResultsOf(tree)).toEqual([
      { id: 'a', isError: true },
      { id: 'b\n', isError: false },
      { id: 'c', isError: false },
    ]);
  });
});

describe('rateLimitsOf', () => {
  test('takes the limits’ headers as they are, and nothing else', () => {
    const limits = {
      'anthropic-ratelimit-unified-5h-utilization': '0.310',
      'anthropic-ratelimit-unified-5h-status': 'allowed',
    };

    expect(rateLimitsOf({ ...limits, 'request-id': 'r', 'anthropic-ratelimit-x': 'y'.repeat(201) })).toEqual(limits);
    expect(rateLimitsOf({ 'request-id': 'r' })).toBeUndefined();
    expect(
      Object.keys(
        rateLimitsOf(Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`anthropic-ratelimit-${at}`, '']))) ??
          {},
      ),
    ).toHaveLength(40);
  });

  test.each([
    ['0.31', 0.31],
    ['', undefined],
    [' ', undefined],
    ['much', undefined],
    [undefined, undefined],
  ])('reads the utilization %j as %j', (said, expected) => {
    const limits = said === undefined ? {} : { 'anthropic-ratelimit-unified-5h-utilization': said };

    expect(utilizationOf(limits as Record<string, string>, '5h')).toBe(expected);
  });
});
