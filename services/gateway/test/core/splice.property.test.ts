import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { type Block, type BodyTree, newBlock } from '../../src/core/body-tree.ts';
import { applySplices, renderBody, slicesOf, splicesOf } from '../../src/core/splice.ts';
import { type Body, CACHE, text, treeOf, user } from './fixtures/body.ts';

const words = fc.string({ unit: 'grapheme', maxLength: 6 });
const content = fc.oneof(
  words,
  fc.array(
    words.map((word) => text(word)),
    { maxLength: 5 },
  ),
);
const body = fc
  .record(
    {
      messages: fc.array(
        content.map((one) => ({ role: 'user', content: one })),
        { maxLength: 4 },
      ),
      system: content,
    },
    { requiredKeys: ['messages'] },
  )
  .chain((value) => fc.constantFrom(undefined, 2).map((space) => JSON.stringify(value, null, space)));

/** What becomes of a block; several changes of a list fall where their numbers put them. */
const change = fc.record({
  list: fc.nat(),
  block: fc.nat(),
  kind: fc.constantFrom('remove', 'replace', 'insert', 'mark', 'drop' as const),
  word: words,
});
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

function make(tree: BodyTree, { list, block: blockIndex, kind, word }: Change): void {
  const lists = [...tree.messages.map(({ content: one }) => one), ...(tree.system ? [tree.system] : [])];
  const target = lists[list % Math.max(1, lists.length)];
  if (!target) return;
  const message = tree.messages[lists.indexOf(target)];
  if (kind === 'drop') {
    if (message) message.removed = true;
    return;
  }
  if (kind === 'insert') {
    const added = newBlock(0, 0, 'text');
    added.bytes = Buffer.from(JSON.stringify(text(word)));
    target.blocks.splice(blockIndex % (target.blocks.length + 1), 0, added);
    return;
  }
  const block = target.blocks[blockIndex % Math.max(1, target.blocks.length)];
  if (!block || block.bytes) return;
  if (kind === 'remove') {
    // A string that loses its text gets another block, or its message goes.
    if (!target.isString || target.blocks.length > 1) block.removed = true;
  } else if (kind === 'replace') block.newText = Buffer.from(JSON.stringify(word));
  else block.movedCacheControl = Buffer.from(JSON.stringify(CACHE));
}

/** What the changes mean, told on parsed JSON. */
function expected(tree: BodyTree, model: Body): Body {
  const contentOf = (list: NonNullable<BodyTree['system']>, original: Body['messages'][number]['content']) => {
    const own = typeof original === 'string' ? [text(original)] : original;
    let at = 0;
    const blocks = list.blocks.flatMap((block) => {
      if (block.bytes) return [JSON.parse(Buffer.from(block.bytes).toString()) as Record<string, unknown>];
      const value = { ...own[at++] } as Record<string, unknown>;
      if (block.newText) value['text'] = JSON.parse(Buffer.from(block.newText).toString());
      if (block.movedCacheControl) value['cache_control'] = CACHE;
      return block.removed ? [] : [value];
    });
    const staysString = typeof original === 'string' && list.blocks.length === 1 && !list.blocks[0]?.movedCacheControl;
    return staysString ? (blocks[0]?.['text'] as string) : blocks;
  };
  const messages = model.messages.flatMap((message, index) => {
    const { removed, content: list } = tree.messages[index] as BodyTree['messages'][number];
    return removed || !list ? [] : [{ ...message, content: contentOf(list, message.content) }];
  });
  return {
    messages,
    ...(tree.system && model.system !== undefined && { system: contentOf(tree.system, model.system) }),
  };
}

describe('renderBody', () => {
  test('any changes give the JSON that they mean, and every byte outside of them as it was', () => {
    holds(
      fc.property(body, fc.array(change, { maxLength: 8 }), (json, changes) => {
        const model = JSON.parse(json) as Body;
        const tree = treeOf(json);
        for (const one of changes) make(tree, one);

        const output = Buffer.from(renderBody(tree));

        expect(JSON.parse(output.toString())).toEqual(expected(tree, model));
        const splices = splicesOf(tree).toSorted((a, b) => a.start - b.start || a.end - b.end);
        let inAt = 0;
        let outAt = 0;
        for (const { start, end, bytes } of [...splices, { start: tree.bytes.length, end: 0, bytes: [] }]) {
          const kept = tree.bytes.subarray(inAt, start);
          expect(output.subarray(outAt, outAt + kept.length).equals(kept)).toBe(true);
          outAt += kept.length + bytes.length;
          inAt = end;
        }
        expect(outAt).toBe(output.length);
      }),
      1_000,
    );
  });

  test('the same changes of the same bytes give the same bytes again', () => {
    holds(
      fc.property(body, fc.array(change, { maxLength: 8 }), (json, changes) => {
        const outputs = [1, 2].map(() => {
          const tree = treeOf(json);
          for (const one of changes) make(tree, one);
          return Buffer.from(renderBody(tree)).toString();
        });

        expect(outputs[0]).toBe(outputs[1]);
      }),
      200,
    );
  });

  test('adjacent splices of any kind do not contend for a byte', () => {
    const tree = treeOf({ messages: [user(text('a'), text('b'), text('c'))] });
    const blocks = tree.messages[0]?.content?.blocks as Block[];
    for (const block of blocks) block.removed = true;
    for (const place of [0, 2, 4]) make(tree, { list: 0, block: place, kind: 'insert', word: String(place) });

    expect(JSON.parse(applySplices(tree.bytes, splicesOf(tree)).toString())).toEqual({
      messages: [user(text('0'), text('2'), text('4'))],
    });
  });
});

describe('slicesOf', () => {
  test('gives the bytes of a body, however it lies in pieces, in slices that are all full but for the last', () => {
    const parts = fc.array(fc.uint8Array({ maxLength: 9 }).map(Buffer.from), { maxLength: 6 });
    holds(
      fc.property(parts, fc.integer({ min: 1, max: 12 }), (body, maxBytes) => {
        const bytes = Buffer.concat(body);

        const slices = [...slicesOf(body, maxBytes)].map((slice) => Buffer.concat(slice));

        expect(Buffer.concat(slices).equals(bytes)).toBe(true);
        const rest = bytes.length % maxBytes;
        const full = Array.from({ length: Math.floor(bytes.length / maxBytes) }, () => maxBytes);
        expect(slices.map(({ length }) => length)).toEqual(rest === 0 ? full : [...full, rest]);
      }),
    );
  });
});
