import { describe, expect, test } from '@jest/globals';
import { byteLength, render, shorten } from '../../src/core/render.ts';

describe('render', () => {
  test('writes the block byte for byte as the contract has it', () => {
    expect(render(['tea at four', 'the blue door'], 'subvox')).toBe(
      '<subvox>\nIntro surfaced these moments. Store what lands, let the rest go:\n- tea at four\n- the blue door\n</subvox>',
    );
  });
});

describe('shorten', () => {
  test('leaves a text that fits as it is', () => {
    expect(shorten('the tea', 7)).toBe('the tea');
  });

  test('counts bytes, not characters', () => {
    expect(shorten('äöü', 6)).toBe('äöü');
    expect(shorten('äöüä', 7)).toBe('äö…');
  });

  test('cuts between words', () => {
    expect(shorten('the tea was cold', 13)).toBe('the tea…');
  });

  test('keeps a word that ends just where the room does', () => {
    expect(shorten('the tea was cold', 14)).toBe('the tea was…');
  });

  test('cuts a single long word at a character', () => {
    expect(shorten('a'.repeat(20), 10)).toBe('aaaaaaa…');
  });

  test('leaves no joiner where it cuts through an emoji', () => {
    expect(shorten('aaaa👩‍💻👩‍💻', 15)).toBe('aaaa👩…');
  });
});

describe('byteLength', () => {
  test('is the length in UTF-8', () => {
    expect(byteLength('a‹👩')).toBe(8);
  });
});
