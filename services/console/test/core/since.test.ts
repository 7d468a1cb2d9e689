import { describe, expect, test } from '@jest/globals';
import { findSince, idOf } from '../../src/core/since.ts';

describe('findSince', () => {
  test.each([
    ['30s', { agoMs: 30_000 }],
    ['10m', { agoMs: 600_000 }],
    ['2h', { agoMs: 7_200_000 }],
    ['1d', { agoMs: 86_400_000 }],
    ['1760000000000-3', { after: '1760000000000-3' }],
  ])('reads %s', (text, expected) => {
    expect(findSince(text)).toEqual(expected);
  });

  test.each(['', '10', '10 m', 'm', '-5m', '1w', '1760000000000', 'yesterday'])('does not take %p', (text) => {
    expect(findSince(text)).toBeUndefined();
  });
});

describe('idOf', () => {
  test('counts a duration back from the clock, and not to before its start', () => {
    expect(idOf({ agoMs: 600_000 }, 1_760_000_000_000)).toBe('1759999400000-0');
    expect(idOf({ agoMs: 600_000 }, 1)).toBe('0-0');
  });

  test('takes an id as it is', () => {
    expect(idOf({ after: '5-1' }, 1_760_000_000_000)).toBe('5-1');
  });
});
