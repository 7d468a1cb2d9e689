import { describe, expect, test } from '@jest/globals';
import { text, user } from './fixtures/body.ts';
import { add, check, edited, refusal, remove, replace } from './fixtures/edits.ts';

describe('applyEdits, with several rewriters', () => {
  const TWO = { messages: [user(text('a'), text('b'), text('c'))] };
  const at = (index: number | string) => `/messages/0/content/${index}`;

  test('keeps pointers relative to what the event showed, whatever an earlier rewriter did', () => {
    const first = [remove(at(0)), add(at(0), 'new'), add(at('-'), 'end')];
    const second = [
      replace(`${at(2)}/text`, 'C'),
      add(at(1), 'in front of b'),
      add(at('-'), 'the very end'),
      check(`${at(1)}/text`, 'b'),
    ];

    expect(edited(TWO, first, second.slice(0, 3)).body.messages).toEqual([
      user(text('new'), text('in front of b'), text('b'), text('C'), text('end'), text('the very end')),
    ]);
    // Its own insertion does move what stands behind it.
    expect(refusal(edited(TWO, first, second))).toBe('a test failed at block 1');
  });

  test('refuses what overlaps an earlier rewriter’s edit, in either order, and nothing else', () => {
    const one = [replace(`${at(0)}/text`, 'A'), replace(`${at(1)}/text`, 'B')];
    const two = [replace(`${at(1)}/text`, 'b!'), add(at('-'), 'z')];

    const forth = edited(TWO, one, two);
    const back = edited(TWO, two, one);

    expect([refusal(forth), forth.body.messages]).toEqual([
      'block 1 was written by a',
      [user(text('A'), text('B'), text('c'))],
    ]);
    expect([refusal(back), back.body.messages]).toEqual([
      'block 1 was written by a',
      [user(text('a'), text('b!'), text('c'), text('z'))],
    ]);
  });

  test('refuses an edit of a block that an earlier rewriter removed', () => {
    expect(refusal(edited(TWO, [remove(at(1))], [replace(`${at(1)}/text`, 'x')]))).toBe(
      'block 1 was removed by an earlier rewriter',
    );
  });

  test('does not let two rewriters together remove all blocks of a list', () => {
    const two = { messages: [user(text('a'), text('b'))] };

    expect(refusal(edited(two, [remove(at(0))], [remove(at(1))]))).toBe('the only block of a list cannot be removed');
  });

  test('tells of a durable block what stood there before it', () => {
    const { results } = edited(TWO, [add(at('-'), '1', true)], [add(at('-'), '2', true), add(at('-'), '3', true)]);

    expect(
      results.map(
        (result) => result.applied && result.durable.map(({ edit }) => edit.kind === 'append' && edit.behind),
      ),
    ).toEqual([[undefined], [1, 2]]);
  });

  // With a look at all of them for each, it would take a minute.
  test('is done with very many edits of very many texts', () => {
    const texts = Array.from({ length: 10_000 }, (_, index) => text(`text ${index}`));
    const durable = Array.from({ length: 1_000 }, (_, index) => replace(`${at(index)}/text`, 'B', true));
    const added = Array.from({ length: 1_000 }, () => add(at('-'), 'C', true));

    const { results } = edited({ messages: [user(...texts)] }, durable, added);

    expect(results.map((result) => result.applied && result.durable.length)).toEqual([1_000, 1_000]);
  });
});
