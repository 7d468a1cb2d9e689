import { describe, expect, test } from '@jest/globals';
import { formatWordDiff } from '../../src/core/word-diff.ts';
import { plainScreen, screen } from '../events.ts';

describe('formatWordDiff', () => {
  test('marks the words that differ', () => {
    expect(formatWordDiff('tea at four', 'tea at five', screen)).toEqual([
      '<red:- >tea at <red:four>',
      '<green:+ >tea at <green:five>',
    ]);
  });

  test('shows of what stays only what is next to a change', () => {
    const [start, middle, end] = ['a '.repeat(20), ' b'.repeat(40), ' c'.repeat(20)];

    expect(formatWordDiff(`${start}one${middle} two${end}`, `${start}1${middle} 2${end}`, screen)).toEqual([
      '<red:- >…a a a a a a a a <red:one> b b b b b b b b…b b b b b b b b <red:two> c c c c c c c c…',
      '<green:+ >…a a a a a a a a <green:1> b b b b b b b b…b b b b b b b b <green:2> c c c c c c c c…',
    ]);
  });

  test('shows what is new, or gone, on one line, as wide as the screen, and obeys nothing in it', () => {
    expect(formatWordDiff('', 'tea\nat \u001b[2Jfour', plainScreen(9))).toEqual(['+ tea at…']);
    expect(formatWordDiff('tea', '', screen)).toEqual(['<red:- ><red:tea>']);
  });

  test('compares no texts that have nothing in common', () => {
    const words = (name: string) => Array.from({ length: 2_000 }, (_, at) => `${name}${at}`).join(' ');

    expect(formatWordDiff(words('a'), words('b'), plainScreen(12))).toEqual(['- a0 a1 a2…', '+ b0 b1 b2…']);
  });
});
