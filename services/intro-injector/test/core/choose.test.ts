import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { choose } from '../../src/core/choose.ts';
import { tidy } from '../../src/core/memorables.ts';
import { byteLength, render } from '../../src/core/render.ts';

const layout = { budgetTokens: 1_000, tag: 'subvox' };
const none = new Set<string>();

describe('choose', () => {
  test('renders everything that the session has not had', () => {
    const choice = choose(['a', 'b', 'c'], new Set(['b']), layout);

    expect(choice).toEqual({ items: ['a', 'c'], waiting: 0, text: render(['a', 'c'], 'subvox') });
  });

  test('has no text when nothing is new', () => {
    expect(choose(['a'], new Set(['a']), layout)).toEqual({ items: [], waiting: 0 });
    expect(choose([], none, layout)).toEqual({ items: [], waiting: 0 });
  });

  test('lets wait what the budget has no room for, and everything after it', () => {
    const long = 'x'.repeat(60);

    // 175 bytes: 83 for the frame, 63 for the first item, 29 left.
    const choice = choose([long, `${long}y`, 'short'], none, { ...layout, budgetTokens: 50 });

    expect(choice).toEqual({ items: [long], waiting: 2, text: render([long], 'subvox') });
  });

  test('fills the budget to its last byte', () => {
    const { text } = choose(['x'.repeat(60), 'y'.repeat(26), 'z'], none, { ...layout, budgetTokens: 50 });

    expect(byteLength(text ?? '')).toBe(175);
  });

  test('takes what waited as soon as the earlier items have been injected', () => {
    const long = 'x'.repeat(60);

    const choice = choose([long, `${long}y`], new Set([long]), { ...layout, budgetTokens: 50 });

    expect(choice).toEqual({ items: [`${long}y`], waiting: 0, text: render([`${long}y`], 'subvox') });
  });

  test('shortens an item of more than 300 tokens and remembers it whole', () => {
    const long = 'word '.repeat(400).trim();

    const choice = choose([long, 'next'], none, layout);

    expect(choice.items).toEqual([long, 'next']);
    expect(choice.text).toBe(render([`${'word '.repeat(209).trim()}…`, 'next'], 'subvox'));
  });

  test('shortens an item that alone would not fit into a small budget', () => {
    const { items, text } = choose(['x'.repeat(500)], none, { ...layout, budgetTokens: 50 });

    expect(items).toHaveLength(1);
    expect(byteLength(text ?? '')).toBe(175);
  });
});

describe('a block of any list', () => {
  const hostile = fc.constantFrom(
    '</subvox>',
    '<subvox>',
    '\n',
    '\r',
    '\u2028',
    '```',
    '\u202e',
    '<',
    '/',
    '\u200b',
    '👩‍💻',
    ' ',
  );
  const item = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc
      .array(fc.oneof(hostile, fc.string({ unit: 'grapheme', maxLength: 5 })), { maxLength: 400 })
      .map((parts) => parts.join('')),
  );
  const lists = fc.array(item, { maxLength: 30 });
  const budgets = fc.integer({ min: 50, max: 1_500 });

  const compose = (list: string[], budgetTokens: number) =>
    choose(tidy(list).items, none, { budgetTokens, tag: 'subvox' });

  test('has one opening and one closing tag and a line for each item', () => {
    holds(
      fc.property(lists, budgets, (list, budgetTokens) => {
        const { text, items } = compose(list, budgetTokens);
        if (text === undefined) return items.length === 0;
        const lines = text.split(/[\n\r\v\f\u0085\u2028\u2029]/);
        return (
          lines.length === items.length + 3 &&
          lines.slice(2, -1).every((line) => /^- \S/.test(line)) &&
          text.match(/<(?:\s*\/|[a-z])/gi)?.length === 2 &&
          text.startsWith('<subvox>\n') &&
          text.endsWith('\n</subvox>')
        );
      }),
    );
  });

  test('stays within the budget', () => {
    holds(
      fc.property(lists, budgets, (list, budgetTokens) => {
        return Math.ceil(byteLength(compose(list, budgetTokens).text ?? '') / 3.5) <= budgetTokens;
      }),
    );
  });

  test('is the same each time', () => {
    holds(
      fc.property(lists, budgets, (list, budgetTokens) => {
        expect(compose(list, budgetTokens)).toEqual(compose([...list], budgetTokens));
      }),
    );
  });

  test('leaves nothing for ever: message after message, each item comes exactly once', () => {
    holds(
      fc.property(lists, budgets, (list, budgetTokens) => {
        const { items } = tidy(list);
        const injected: string[] = [];
        for (let round = 0; round <= items.length; round += 1) {
          injected.push(...choose(items, new Set(injected), { budgetTokens, tag: 'subvox' }).items);
        }
        expect(injected).toEqual(items);
      }),
    );
  });

  test('is made of items that tidying again would not change', () => {
    holds(
      fc.property(lists, (list) => {
        const { items } = tidy(list);
        expect(tidy(items)).toEqual({ items, neutralised: 0 });
      }),
    );
  });
});
