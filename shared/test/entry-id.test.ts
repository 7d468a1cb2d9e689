import { describe, expect, test } from '@jest/globals';
import { compareIds, timeOfId } from '@loom/shared/entry-id.ts';

describe('compareIds', () => {
  test('orders by milliseconds, then by sequence, as numbers', () => {
    expect(['10-0', '9-10', '9-9'].sort(compareIds)).toEqual(['9-9', '9-10', '10-0']);
  });
});

test('timeOfId is when Redis took the entry', () => {
  expect(timeOfId('1760000000000-3')).toBe(1_760_000_000_000);
});
