import { describe, expect, test } from '@jest/globals';
import type { Block } from '../../src/core/body-tree.ts';
import { isEditable, moveCacheControl } from '../../src/core/cache-control.ts';
import { assistant, CACHE, rendered, text, treeOf, user } from './fixtures/body.ts';

const BILLING = text('x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=cli;');
const marked = (value: string, ttl?: string) => text(value, { cache_control: { ...CACHE, ...(ttl && { ttl }) } });

/** The system prompt after blocks were removed, one after the other. */
function systemWithout(system: object[], ...indexes: number[]): unknown {
  const tree = treeOf({ messages: [], system });
  for (const index of indexes) {
    const block = tree.system?.blocks[index] as Block;
    block.removed = true;
    if (tree.system) moveCacheControl(tree, tree.system, block);
  }
  return rendered(tree).system;
}

describe('moveCacheControl', () => {
  test.each([
    ['to the block before', [text('a'), marked('b'), text('c')], [1], [marked('a'), text('c')]],
    [
      'to the block behind, where only the attribution stands before',
      [BILLING, marked('a'), text('b')],
      [1],
      [BILLING, marked('b')],
    ],
    ['onto an equal one', [marked('a', '1h'), marked('b')], [1], [marked('a', '1h')]],
    ['on, when the block that took it is removed too', [text('a'), text('b'), marked('c')], [2, 1], [marked('a')]],
    ['nowhere, without a block that may carry it', [BILLING, marked('a')], [1], [BILLING]],
    ['nowhere, when there is none', [text('a'), text('b')], [1], [text('a')]],
  ])('moves a marker %s', (_, system, indexes, expected) => {
    expect(systemWithout(system, ...indexes)).toEqual(expected);
  });

  test('passes assistant messages over, and blocks of no known shape', () => {
    const tree = treeOf({ messages: [user(text('a')), assistant(text('b')), user(text('c'), {}, marked('d'))] });
    const last = tree.messages[2]?.content;
    for (const block of last?.blocks ?? []) if (block.type !== '') block.removed = true;
    if (last) moveCacheControl(tree, last, last.blocks[2] as Block);

    expect(rendered(tree).messages).toEqual([user(marked('a')), assistant(text('b')), user({})]);
  });
});

describe('isEditable', () => {
  test('says that only users’ and system messages that go upstream may be changed', () => {
    const { messages } = treeOf({
      messages: ['user', 'system', 'assistant', 'tool', 'user'].map((role) => ({ role, content: '' })),
    });
    Object.assign(messages[4] as object, { removed: true });

    expect(messages.map(isEditable)).toEqual([true, true, false, false, false]);
  });
});
