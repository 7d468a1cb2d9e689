import { describe, expect, test } from '@jest/globals';
import type { Edit } from '@loom/shared/edit.ts';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { anchorsOf } from '../../src/core/anchor.ts';
import { applyEdits, showBlocks } from '../../src/core/apply-edits.ts';
import { type LedgerEntry, replayLedger } from '../../src/core/ledger.ts';
import {
  assistant,
  type Body,
  CACHE,
  cutTree,
  hookReminder,
  metadataLine,
  rendered,
  sha256,
  text,
  user,
} from './fixtures/body.ts';

const ORDER: Record<string, number> = { first: 1, second: 2 };
type Ledger = Map<string, LedgerEntry[]>;

/** One request of a session: the ledger is replayed, then those who are asked answer about the last message. */
function request(messages: object[], ledger: Ledger, asked: [string, Edit[]][]): Body['messages'] {
  const tree = cutTree({ messages });
  const anchors = anchorsOf(tree, 's1', sha256);
  replayLedger(tree, anchors, (anchor) => ledger.get(anchor) ?? [], sha256);
  const shown = showBlocks(tree);
  for (const [rewriter, edits] of asked) {
    const result = applyEdits(tree, edits, { rewriter, shown, anchors, sha256 });
    if (!result.applied) continue;
    for (const { message, edit } of result.durable) {
      const anchor = anchors.get(message) as string;
      const entries = ledger.get(anchor) ?? [];
      const own = entries.find((entry) => entry.rewriter === rewriter);
      if (own) own.edits.push(edit);
      // Redis gives them back in any order.
      else ledger.set(anchor, [{ rewriter, order: ORDER[rewriter] ?? 0, edits: [edit] }, ...entries]);
    }
  }
  return rendered(tree).messages;
}

const words = fc.string({ unit: 'grapheme', maxLength: 8 });
const edit = fc.oneof(
  words.map(
    (word) =>
      (at: number): Edit => ({
        op: 'add',
        path: `/messages/${at}/content/-`,
        value: text(`+${word}`) as never,
        durable: true,
      }),
  ),
  fc.tuple(fc.nat({ max: 2 }), words).map(
    ([block, word]) =>
      (at: number): Edit => ({
        op: 'replace',
        path: `/messages/${at}/content/${block}/text`,
        value: `=${word}`,
        durable: true,
      }),
  ),
);
const turn = fc.record({
  // Texts that often stand twice, in one message and in several.
  texts: fc.array(
    fc.oneof(
      fc.constantFrom('a', 'b'),
      words.map((word) => `p ${word}`),
    ),
    { minLength: 1, maxLength: 3 },
  ),
  hook: fc.boolean(),
  first: fc.array(edit, { maxLength: 2 }),
  second: fc.array(edit, { maxLength: 2 }),
  /** The first rewriter misses its hold, and answers when the client tries again. */
  late: fc.boolean(),
});

/** Every message but the newest in another form than when it was new: marker, hook block and list are gone. */
function later(texts: string[], isOld: boolean, hook: boolean): object {
  if (isOld && texts.length === 1) return { role: 'user', content: texts[0] };
  const blocks = texts.map((value) => text(value));
  if (isOld) return user(...blocks);
  const last = { ...(blocks.at(-1) as object), cache_control: CACHE };
  return user(
    ...(hook ? [text(hookReminder(metadataLine({ prompt: texts.join() })))] : []),
    ...blocks.slice(0, -1),
    last,
  );
}

/** As the prompt cache sees a message. */
function form({ role, content }: Body['messages'][number]): string {
  const blocks: Record<string, unknown>[] = typeof content === 'string' ? [text(content)] : content;
  return JSON.stringify({ role, content: blocks.map(({ cache_control: _, ...block }) => block) });
}

describe('replayLedger', () => {
  test('any session’s messages go upstream in all later requests byte for byte as they first did', () => {
    holds(
      fc.property(fc.array(turn, { minLength: 1, maxLength: 5 }), (turns) => {
        const ledger: Ledger = new Map();
        let before: string[] = [];
        for (const [index, { first, second, late }] of turns.entries()) {
          const messages = turns
            .slice(0, index + 1)
            .flatMap((one, at) => [
              later(one.texts, at < index, one.hook),
              ...(at < index ? [assistant(text(`answer ${at}`))] : []),
            ]);
          const at = messages.length - 1;
          const answers: [string, Edit[]][] = [
            ['first', first.map((build) => build(at))],
            ['second', second.map((build) => build(at))],
          ];
          let output = request(messages, ledger, late ? answers.slice(1) : answers).map(form);
          if (late) {
            const retried = request(messages, ledger, answers.slice(0, 1)).map(form);
            expect(retried.slice(0, -1)).toEqual(output.slice(0, -1));
            output = retried;
          }

          expect(output.slice(0, before.length)).toEqual(before);
          before = output;
        }
        const all = turns.flatMap(({ texts }, at) => [later(texts, true, false), assistant(text(`answer ${at}`))]);
        expect(request(all, ledger, []).map(form).slice(0, before.length)).toEqual(before);
      }),
      400,
    );
  });
});
