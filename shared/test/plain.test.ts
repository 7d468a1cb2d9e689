import { describe, expect, test } from '@jest/globals';
import { inert, plain, plainJson } from '../src/plain.ts';

describe('plain', () => {
  test.each([
    ['colours', '\u001b[31mred\u001b[0m', 'red'],
    ['cursor movements and erasures', 'a\u001b[2J\u001b[1;1Hb', 'ab'],
    ['eight-bit control sequences', 'a\u009b31mb', 'ab'],
    ['a title that ends in BEL', 'a\u001b]0;owned\u0007b', 'ab'],
    ['a link that ends in ST', 'a\u001b]8;;http://x\u001b\\b', 'ab'],
    ['a device control string', 'a\u001bPq#0\u001b\\b', 'ab'],
    ['a string in eight bits', 'a\u009dx\u009cb', 'ab'],
    ['a reset', 'a\u001bcb', 'ab'],
    ['the start of a string that never ends', 'a\u001b]0;b', 'a0;b'],
    ['an escape that stands alone', 'ab\u001b', 'ab'],
    ['backspaces, bells and DEL', 'a\b\u0007\u007fb', 'ab'],
    ['bidirectional overrides and isolates', 'a\u202e\u2066b\u2069\u202c', 'ab'],
    ['marks of direction', '\u200ea\u061cb', 'ab'],
    ['zero-width characters and tags', 'a\u200b\ufeff\u{e0041}b', 'a b'],
  ])('removes %s', (_, text, expected) => {
    expect(plain(text)).toBe(expected);
  });

  test('makes one line with single blanks', () => {
    expect(plain('  tea\r\n\tat\u2028 four\u0085')).toBe('tea at four');
  });

  test('keeps letters of all scripts, and emoji with their joiners', () => {
    expect(plain('naïve 日本語 שלום 👩‍💻 ❤️')).toBe('naïve 日本語 שלום 👩‍💻 ❤️');
  });

  test('replaces half of a character', () => {
    expect(plain('a\ud83db')).toBe('a\ufffdb');
  });

  test('takes no more than a moment for a text that is made to be slow', () => {
    expect(plain('\u001b]0;'.repeat(50_000)).length).toBe(100_000);
  });
});

describe('inert', () => {
  test('keeps blanks as they are', () => {
    expect(inert('  a  \u001b[1mb\n ')).toBe('  a  b  ');
  });
});

describe('plainJson', () => {
  test('escapes what a terminal might obey, and reads back the same', () => {
    const value = { text: 'a\u009b1m\u202e\u{e0041}\u2028\u001b[2J\u007f' };

    const json = plainJson(value);

    expect(json).toBe('{"text":"a\\u009b1m\\u202e\\udb40\\udc41\\u2028\\u001b[2J\\u007f"}');
    expect(JSON.parse(json)).toEqual(value);
  });
});
