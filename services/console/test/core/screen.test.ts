import { describe, expect, test } from '@jest/globals';
import { cut, fitLine, pad, widthOf } from '../../src/core/screen.ts';
import { alignRows } from '../../src/core/table.ts';
import { plainScreen, screen } from '../events.ts';

describe('cut', () => {
  test.each([
    ['tea at four', 11, 'tea at four'],
    ['tea at four', 6, 'tea a…'],
    ['tea at four', 5, 'tea…'],
    ['日本語', 6, '日本語'],
    ['日本語', 5, '日本…'],
    ['日本語', 4, '日…'],
    ['👩‍💻👩‍💻', 3, '👩‍💻…'],
    ['tea', 1, '…'],
    ['tea', 0, ''],
  ])('cuts %p to %p cells', (text, columns, expected) => {
    expect(cut(text, columns)).toBe(expected);
    expect(widthOf(expected)).toBeLessThanOrEqual(columns);
  });
});

describe('fitLine', () => {
  test('paints each piece', () => {
    expect(fitLine([['green', '→'], ' tea'], screen)).toBe('<green:→> tea');
  });

  test('counts cells without the colours, and ends where the screen does', () => {
    const line = fitLine([['green', 'tea'], ' at ', ['blue', 'four'], ' or five'], { ...screen, columns: 9 });

    expect(line).toBe('<green:tea> at <blue:f…>');
  });

  test('lets nothing through that a terminal would obey', () => {
    expect(fitLine([['red', '\u001b[2Jtea'], '\nat\u202e'], plainScreen(80))).toBe('tea at');
  });
});

describe('pad', () => {
  test('fills up to so many cells on either side, and never cuts', () => {
    expect([pad('日', 4), pad('12', 4, 'start'), pad('four', 2)]).toEqual(['日  ', '  12', 'four']);
  });
});

describe('alignRows', () => {
  test('sets cells in columns, numbers to the right, colours kept', () => {
    const rows = alignRows([
      [['dim', 'stream'], 'length', 'group'],
      ['turns', '12', ['red', 'a']],
      ['日本', '1234567', ''],
    ]);

    expect(rows.map((row) => fitLine(row, screen))).toEqual([
      '<dim:stream>  length   group',
      'turns        12<red:  a    >',
      '日本    1234567',
    ]);
  });

  test('takes rows of different lengths, and none', () => {
    expect(alignRows([['a'], ['b', 'c']])).toEqual([['a'], ['b', '  c']]);
    expect(alignRows([])).toEqual([]);
  });
});
