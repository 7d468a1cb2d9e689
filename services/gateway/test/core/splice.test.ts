import { describe, expect, test } from '@jest/globals';
import { type Block, type BodyTree, newBlock } from '../../src/core/body-tree.ts';
import { applySplices, renderBody, splicesOf } from '../../src/core/splice.ts';
import { CACHE, rendered, renderedText, text, treeOf, user } from './fixtures/body.ts';

function inserted(value: string): Block {
  const block = newBlock(0, 0, 'text');
  block.bytes = Buffer.from(JSON.stringify(text(value)));
  return block;
}

const SPACED =
  '{ "messages" : [ { "role" : "user" , "content" : [ {"type":"text","text":"a"} , {"type":"text","text":"b" } ,\n{"type":"text","text":"c"} ] } ] }';

/** The spaced body's content after a change of its list of blocks. */
function changed(change: (blocks: Block[], tree: BodyTree) => void): string {
  const tree = treeOf(SPACED);
  change(tree.messages[0]?.content?.blocks ?? [], tree);
  return renderedText(tree).slice(49, -6);
}

function remove(blocks: Block[], ...indexes: number[]): void {
  for (const index of indexes) (blocks[index] as Block).removed = true;
}

describe('renderBody', () => {
  test('gives back the very same buffer where nothing is changed', () => {
    const tree = treeOf(SPACED);

    expect(renderBody(tree)).toBe(tree.bytes);
  });

  test.each([
    ['the first', [0], '[ {"type":"text","text":"b" } ,\n{"type":"text","text":"c"} ]'],
    ['the middle one', [1], '[ {"type":"text","text":"a"} ,\n{"type":"text","text":"c"} ]'],
    ['the last', [2], '[ {"type":"text","text":"a"} , {"type":"text","text":"b" } ]'],
    ['the first two', [0, 1], '[ {"type":"text","text":"c"} ]'],
    ['the last two', [1, 2], '[ {"type":"text","text":"a"} ]'],
    ['the outer two', [0, 2], '[ {"type":"text","text":"b" } ]'],
    ['all', [0, 1, 2], '[  ]'],
  ])('removes %s with one comma each', (_, indexes, expected) => {
    expect(changed((blocks) => remove(blocks, ...indexes))).toBe(expected);
  });

  test.each([
    ['in front', 0, '[ N,{"type":"text","text":"a"} , {"type":"text","text":"b" } ,\n{"type":"text","text":"c"} ]'],
    ['between', 2, '[ {"type":"text","text":"a"} , {"type":"text","text":"b" },N ,\n{"type":"text","text":"c"} ]'],
    ['at the end', 3, '[ {"type":"text","text":"a"} , {"type":"text","text":"b" } ,\n{"type":"text","text":"c"},N ]'],
  ])('inserts %s, white space left alone', (_, place, expected) => {
    const content = changed((blocks) => blocks.splice(place, 0, inserted('N')));

    expect(content.replace('{"type":"text","text":"N"}', 'N')).toBe(expected);
  });

  test('puts a block in the place of all others', () => {
    expect(
      changed((blocks) => {
        remove(blocks, 0, 1, 2);
        blocks.push(inserted('N'));
      }),
    ).toBe('[ {"type":"text","text":"N"} ]');
  });

  test('fills an empty list', () => {
    const tree = treeOf('{"messages":[{"role":"user","content":[ ]}]}');

    tree.messages[0]?.content?.blocks.push(inserted('a'), inserted('b'));

    expect(rendered(tree).messages).toEqual([user(text('a'), text('b'))]);
  });

  test('gives a marker to a block behind all its members', () => {
    expect(
      changed(([, b]) => {
        (b as Block).movedCacheControl = Buffer.from(JSON.stringify(CACHE));
        (b as Block).newText = Buffer.from('"B"');
      }),
    ).toBe(
      '[ {"type":"text","text":"a"} , {"type":"text","text":"B" ,"cache_control":{"type":"ephemeral"}} ,\n{"type":"text","text":"c"} ]',
    );
  });

  test('keeps string content a string as long as it is one text', () => {
    const tree = treeOf({ messages: [{ role: 'user', content: 'abc' }], system: 'x' });
    const start = tree.messages[0]?.content?.start as number;

    (tree.messages[0]?.content?.blocks[0] as Block).cuts = [{ start: start + 1, end: start + 3 }];
    (tree.system?.blocks[0] as Block).newText = Buffer.from('"y"');

    expect(rendered(tree)).toEqual({ messages: [{ role: 'user', content: 'c' }], system: 'y' });
  });

  const string = (change: (block: Block, blocks: Block[]) => void) => {
    const tree = treeOf({ messages: [{ role: 'user', content: 'ab' }] });
    const blocks = tree.messages[0]?.content?.blocks as Block[];
    change(blocks[0] as Block, blocks);
    return rendered(tree).messages[0]?.content;
  };

  test('makes string content a list of text blocks where an insertion or a marker needs it', () => {
    const marker = Buffer.from(JSON.stringify(CACHE));
    const newText = Buffer.from('"new"');
    const cutFirst = (block: Block) => [{ start: block.start + 1, end: block.start + 2 }];

    expect([
      string((_, blocks) => blocks.push(inserted('z'))),
      string((_, blocks) => blocks.unshift(inserted('z'), inserted('y'))),
      string((block, blocks) => blocks.push(inserted('z')) && Object.assign(block, { newText })),
      string((block, blocks) => blocks.push(inserted('z')) && Object.assign(block, { cuts: cutFirst(block) })),
      string((block) => Object.assign(block, { movedCacheControl: marker })),
      string(
        (block, blocks) =>
          blocks.unshift(inserted('z')) && Object.assign(block, { movedCacheControl: marker, newText }),
      ),
      string((block, blocks) => blocks.push(inserted('z'), inserted('y')) && Object.assign(block, { removed: true })),
    ]).toEqual([
      [text('ab'), text('z')],
      [text('z'), text('y'), text('ab')],
      [text('new'), text('z')],
      [text('b'), text('z')],
      [text('ab', { cache_control: CACHE })],
      [text('z'), text('new', { cache_control: CACHE })],
      [text('z'), text('y')],
    ]);
  });
});

describe('applySplices', () => {
  test('applies splices in any order', () => {
    const splices = [
      { start: 3, end: 4, bytes: Buffer.from('D') },
      { start: 0, end: 2, bytes: Buffer.from('') },
      { start: 2, end: 2, bytes: Buffer.from('!') },
    ];

    expect(applySplices(Buffer.from('abcd'), splices).toString()).toBe('!cD');
  });

  test('throws over splices that overlap', () => {
    const splices = [
      { start: 0, end: 3, bytes: Buffer.from('') },
      { start: 2, end: 4, bytes: Buffer.from('') },
    ];

    expect(() => applySplices(Buffer.from('abcd'), splices)).toThrow(
      'expected splices that do not overlap, got one at 2 behind 3',
    );
  });
});

describe('splicesOf', () => {
  test('touches nothing inside a message that is removed', () => {
    const tree = treeOf({ messages: [user(text('a')), user(text('b'))] });

    Object.assign(tree.messages[0] as object, { removed: true });
    (tree.messages[0]?.content?.blocks[0] as Block).newText = Buffer.from('"z"');

    expect(splicesOf(tree).length).toBe(1);
    expect(rendered(tree).messages).toEqual([user(text('b'))]);
  });
});
