import { z } from 'zod';

/**
 * Regular expressions as a setting has them: one a line, or a JSON array of strings. Each gets the flags `gu`. One that
 * matches the empty text would match everywhere, and is refused.
 *
 * @example
 * patterns.parse('\\bPRJ-\\d{6}\\b\nhunter2'); // [/\bPRJ-\d{6}\b/gu, /hunter2/gu]
 */
export const patterns = z.string().transform((text, context): RegExp[] => {
  const sources = readSources(text);
  return sources.flatMap((source, index) => {
    const pattern = compile(source);
    if (pattern && !pattern.test('')) return [pattern];
    // Under a path of its own, so that nobody prints it: what it looks for may be the secret itself.
    const message = `expected a regular expression that does not match the empty text, got another one as number ${index + 1}`;
    context.addIssue({ code: 'custom', message, path: [index + 1] });
    return [];
  });
});

function readSources(text: string): unknown[] {
  if (text.trim().startsWith('[')) {
    try {
      const list: unknown = JSON.parse(text);
      if (Array.isArray(list)) return list;
    } catch {
      // A character class at the start of a line looks like a list.
    }
  }
  return text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
}

function compile(source: unknown): RegExp | undefined {
  try {
    return typeof source === 'string' ? new RegExp(source, 'gu') : undefined;
  } catch {
    // The caller says which one it is.
    return undefined;
  }
}
