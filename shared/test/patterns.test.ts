import { describe, expect, test } from '@jest/globals';
import { patterns } from '@loom/shared/patterns.ts';

describe('patterns', () => {
  test.each([
    ['a line each', '\\bPRJ-\\d{6}\\b\n\n  [a-c]x \n'],
    ['a JSON array', '["\\\\bPRJ-\\\\d{6}\\\\b","[a-c]x"]'],
  ])('reads %s', (_, setting) => {
    expect(patterns.parse(setting)).toEqual([/\bPRJ-\d{6}\b/gu, /[a-c]x/gu]);
  });

  test('takes a line that begins with a class for a pattern', () => {
    expect(patterns.parse('[a-c]x')).toEqual([/[a-c]x/gu]);
  });

  test.each(['(', 'a*', '[1]'])('refuses %j without printing it', (setting) => {
    const { error } = patterns.safeParse(setting === '[1]' ? '["a",1]' : setting);

    expect(error?.issues).toEqual([
      {
        code: 'custom',
        path: [setting === '[1]' ? 2 : 1],
        message: expect.stringMatching(
          /^expected a regular expression that does not match the empty text, got another one as number [12]$/,
        ),
      },
    ]);
  });
});
