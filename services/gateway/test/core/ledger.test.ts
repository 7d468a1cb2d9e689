import { describe, expect, test } from '@jest/globals';
import { anchorsOf, mergedAnchorsOf } from '../../src/core/anchor.ts';
import { type LedgerEntry, replayLedger } from '../../src/core/ledger.ts';
import { findLiteral } from '../../src/core/match-wants.ts';
import { assistant, CACHE, cutTree, hookReminder, rendered, sha256, text, user } from './fixtures/body.ts';

const block = (value: string) => JSON.stringify(text(value));
const append = (value: string, behind?: number) => ({
  kind: 'append' as const,
  json: block(value),
  ...(behind && { behind }),
});
const replaceOf = (of: string, value: string) => ({
  kind: 'replace' as const,
  of: sha256(of),
  json: JSON.stringify(value),
});
const entry = (rewriter: string, order: number, ...edits: LedgerEntry['edits']): LedgerEntry => ({
  rewriter,
  order,
  edits,
});

/** Replays entries at the message with a number among those that have an anchor. */
function replay(messages: object[], entries: Record<number, LedgerEntry[]>) {
  const tree = cutTree({ messages });
  const anchors = anchorsOf(tree, 's1', sha256);
  const names = [...anchors.values()];
  const result = replayLedger(tree, anchors, (anchor) => entries[names.indexOf(anchor)] ?? [], sha256);
  return { tree, result, messages: rendered(tree).messages };
}

describe('replayLedger', () => {
  test('puts edits at their anchors, and nothing anywhere else', () => {
    const messages = [user(text('one')), assistant(text('1')), user(text('two')), user({ type: 'tool_result' })];

    const { result, messages: output } = replay(messages, {
      0: [entry('a', 1, append('+'))],
      1: [entry('a', 1, replaceOf('two', '2'))],
    });

    expect([result, output]).toEqual([
      { replayed: 2, missed: 0 },
      [user(text('one'), text('+')), assistant(text('1')), user(text('2')), user({ type: 'tool_result' })],
    ]);
  });

  test('counts a replacement whose text is gone, and leaves the message as the client sent it', () => {
    const { result, messages } = replay([user(text('one, edited'))], { 0: [entry('a', 1, replaceOf('one', '1'))] });

    expect([result, messages]).toEqual([{ replayed: 0, missed: 1 }, [user(text('one, edited'))]]);
  });

  test('replaces no text that an earlier edit put there', () => {
    const { result, messages } = replay([user(text('one'))], {
      0: [entry('b', 2, replaceOf('1', '!')), entry('a', 1, replaceOf('one', '1'))],
    });

    expect([result, messages]).toEqual([{ replayed: 1, missed: 1 }, [user(text('1'))]]);
  });

  test('takes rewriters in their order, by name where it is the same, whatever order the entries come in', () => {
    const entries = [entry('c', 1, append('c')), entry('b', 2, append('b')), entry('a', 2, append('a'))];

    for (const shuffled of [entries, entries.toReversed()])
      expect(replay([user(text('one'))], { 0: shuffled }).messages).toEqual([
        user(text('one'), text('c'), text('a'), text('b')),
      ]);
  });

  test('leaves first what was appended first, by whatever rewriter', () => {
    const entries = [entry('a', 1, append('late', 1), append('later', 2)), entry('b', 2, append('first'))];

    expect(replay([user(text('one'))], { 0: entries }).messages).toEqual([
      user(text('one'), text('first'), text('late'), text('later')),
    ]);
  });

  test('does nothing for a rewriter that had nothing to change', () => {
    const { result, messages } = replay([{ role: 'user', content: 'one' }], { 0: [entry('a', 1)] });

    expect([result, messages]).toEqual([{ replayed: 0, missed: 0 }, [{ role: 'user', content: 'one' }]]);
  });

  test('gives a message the same bytes in every form that a client gives it', () => {
    const entries = { 0: [entry('a', 1, replaceOf('one', 'é'), append('+'))] };
    const forms = [
      [{ role: 'user', content: 'one' }],
      [user(text('one'))],
      [user(text(hookReminder()), text('one'))],
      [user(text('one')), { role: 'system', content: `UserPromptSubmit hook success: out` }],
    ];

    const outputs = forms.map((messages) => replay(messages, entries).messages[0]);

    expect(new Set(outputs.map((output) => JSON.stringify(output)))).toEqual(
      new Set([JSON.stringify(user(text('é'), text('+')))]),
    );
    expect(replay([user(text('one', { cache_control: CACHE }))], entries).messages).toEqual([
      user(text('é', { cache_control: CACHE }), text('+')),
    ]);
  });

  test('leaves nothing for a literal to match inside what it wrote', () => {
    const { tree } = replay([user(text('one')), user(text('two'))], {
      0: [entry('a', 1, replaceOf('one', 'the literal'), append('the literal'))],
    });

    expect(findLiteral(tree, { on: 'literal', label: 'l', literal: 'the literal', where: 'any' })).toEqual([]);
  });
});

describe('replayLedger, of a message that the client merged out of several', () => {
  test('appends what was appended to each of them, the oldest first, and replaces nothing', () => {
    const first = [...anchorsOf(cutTree({ messages: [user(text('one'))] }), 's1', sha256).values()];
    const tree = cutTree({ messages: [user(text('one'), text('two'))] });
    const anchors = anchorsOf(tree, 's1', sha256);
    const entriesAt = (anchor: string) =>
      anchor === first[0]
        ? [entry('a', 1, append('behind one'), replaceOf('one', '1'))]
        : [entry('a', 1, append('behind both'))];

    const result = replayLedger(tree, anchors, entriesAt, sha256, mergedAnchorsOf(tree, 's1', anchors, sha256));

    expect(result).toEqual({ replayed: 2, missed: 0 });
    expect(rendered(tree).messages).toEqual([user(text('one'), text('two'), text('behind one'), text('behind both'))]);
  });

  test('appends in the order of the rewriters, whatever order the entries come in', () => {
    const [one] = anchorsOf(cutTree({ messages: [user(text('one'))] }), 's1', sha256).values();
    const entries = [entry('b', 2, append('b')), entry('c', 1, append('late', 1)), entry('a', 1, append('a'))];

    for (const shuffled of [entries, entries.toReversed()]) {
      const tree = cutTree({ messages: [user(text('one'), text('two'))] });
      const anchors = anchorsOf(tree, 's1', sha256);
      const entriesAt = (anchor: string) => (anchor === one ? shuffled : []);
      replayLedger(tree, anchors, entriesAt, sha256, mergedAnchorsOf(tree, 's1', anchors, sha256));

      expect(rendered(tree).messages).toEqual([user(text('one'), text('two'), text('a'), text('b'), text('late'))]);
    }
  });

  // With a look at all of them for each, it would take a minute.
  test('is done with very many edits of very many texts', () => {
    const texts = Array.from({ length: 10_000 }, (_, index) => text(`text ${index}`));
    const edits = Array.from({ length: 2_000 }, (_, index) => replaceOf(`text ${9_999 - index}`, 'B'));

    expect(replay([user(...texts)], { 0: [entry('a', 1, ...edits)] }).result).toEqual({ replayed: 2_000, missed: 0 });
  });
});
