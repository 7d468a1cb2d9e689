import { describe, expect, test } from '@jest/globals';
import { cacheShare, counted, dollars, seconds, tally, thousands, times, tokensInOut } from '../src/figures.ts';

describe('figures', () => {
  test('counts a noun', () => {
    expect([counted(0, 'call'), counted(1, 'call'), counted(2, 'call')]).toEqual(['0 calls', '1 call', '2 calls']);
  });

  test('names what comes, and how often where that is more than once', () => {
    expect(tally(['Bash', 'Read', 'Read'])).toBe('Bash, Read ×2');
    expect([tally([]), times('Bash', 1), times('Bash', 3)]).toEqual(['', 'Bash', 'Bash ×3']);
  });

  test('counts from 1,000 on in thousands', () => {
    expect([thousands(0), thousands(999), thousands(1_000), thousands(12_449)]).toEqual(['0', '999', '1.0k', '12.4k']);
    expect(tokensInOut(12_449, 812)).toBe('12.4k in, 812 out');
  });

  test('says how much came from the cache, and nothing where nothing was read', () => {
    expect([cacheShare(93, 100), cacheShare(0, 100), cacheShare(0, 0)]).toEqual([['cache 93 %'], ['cache 0 %'], []]);
  });

  test('shows cents, and what is less than one', () => {
    expect([dollars(0.1234), dollars(0.0042), dollars(0), dollars(null)]).toEqual([
      '$0.12',
      '$0.0042',
      '$0.00',
      'cost unknown',
    ]);
  });

  test('shows seconds with a tenth', () => {
    expect([seconds(8_249), seconds(40)]).toEqual(['8.2 s', '0.0 s']);
  });
});
