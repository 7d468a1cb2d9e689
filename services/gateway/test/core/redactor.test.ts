import { describe, expect, test } from '@jest/globals';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { MAX_TEXT_CHARACTERS, Redactor } from '../../src/core/redactor.ts';

const SECRET = 'PRJ-123456';
const redactor = () => new Redactor([/PRJ-\d{6}/gu], ['sam@example.org']);

describe('Redactor', () => {
  test('takes out what the operator, the exchange and everybody calls secret', () => {
    const text = `${SECRET} of sam@example.org, x-api-key: abc, sk-ant-api03-abcdef, The user's email address is a@b.c\n`;

    expect(redactor().text(text)).toBe(
      "[redacted] of [redacted], x-api-key: [credential], [credential], The user's email address is [redacted]\n",
    );
  });

  test('takes out the line that holds a metadata block, wherever it was printed', () => {
    expect(redactor().text(`before\n  1: ${formatMetadata({ prompt: 'Tea?' })}\nafter`)).toBe(
      'before\n[metadata]\nafter',
    );
  });

  test('takes out the values of members that name a credential', () => {
    expect(redactor().value({ headers: { Authorization: 'abc', accept: 'all' }, list: [SECRET, 7, null] })).toEqual({
      headers: { Authorization: '[credential]', accept: 'all' },
      list: ['[redacted]', 7, null],
    });
  });

  test('cuts a long text, and says how much is missing', () => {
    const one = redactor();

    expect(one.text('a'.repeat(MAX_TEXT_CHARACTERS + 7))).toBe(`${'a'.repeat(MAX_TEXT_CHARACTERS)}… [+7 characters]`);
    expect(one.isTruncated).toBe(true);
  });

  test('leaves a text of the full length whole', () => {
    const one = redactor();
    const text = 'a'.repeat(MAX_TEXT_CHARACTERS);

    expect([one.text(text), one.isTruncated]).toEqual([text, false]);
  });

  test('adds to what was said to be missing before', () => {
    const text = `${'a'.repeat(MAX_TEXT_CHARACTERS + 10_000)}… [+100 characters]`;

    const [kept, missing] = redactor().text(text).split('… [+');

    expect(kept).toBe('a'.repeat(MAX_TEXT_CHARACTERS));
    expect(missing).toBe('10100 characters]');
  });

  test('finds a secret wherever it lies across the cut, and shows no part of it', () => {
    for (let before = MAX_TEXT_CHARACTERS - SECRET.length - 1; before <= MAX_TEXT_CHARACTERS + 1; before++) {
      const text = `${'a'.repeat(before)}${SECRET}${'b'.repeat(20_000)}`;

      expect(redactor().text(text)).not.toContain('PRJ');
    }
  });

  test('shows no part of a secret that what broke off may end with', () => {
    expect(redactor().text(`${'a'.repeat(9_000)} PRJ-12… [+100 characters]`)).toBe(
      `${'a'.repeat(834)}… [+8273 characters]`,
    );
  });

  test('shows no part of a secret that lies across the end of what is looked at, however much was taken out before', () => {
    const long = new Redactor([/KEY[^;]+;/gu], []);
    const secret = `KEY${'k'.repeat(4_000)};`;

    for (let before = 18_000; before <= 25_000; before += 50) {
      const text = `KEY${'x'.repeat(8_000)};${'a'.repeat(before - 8_004)}${secret}${'b'.repeat(9_000)}`;

      expect(long.text(text)).not.toContain('KEY');
    }
  });
});
