import { describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { scanBody } from '../../src/core/scan-body.ts';
import { splicesOf } from '../../src/core/splice.ts';
import {
  assistant,
  type Body,
  CACHE,
  CONTEXT,
  cutMessages,
  cutTree,
  hookReminder,
  hookWrapper,
  metadataLine,
  reminder,
  renderedText,
  text,
  treeOf,
  user,
} from './fixtures/body.ts';

const words = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.constantFrom(CANARY, '</system-reminder>', '}', `{"canary":"${CANARY}"}`),
  )
  .map((word) => `p ${word}`);
const out = fc.constantFrom(
  'UserPromptSubmit hook success: Tea {is} ready.',
  'SessionStart:compact hook additional context: b\n\nc',
);
const line = fc
  .record({ prompt: words, session_id: fc.constantFrom('s1', 's2') })
  .map((fields) => metadataLine(fields));

/** Messages that the client sends together: one turn, its hook context where some release puts it. */
const turn = fc.oneof(
  fc
    .tuple(line, words, out)
    .map(([ours, typed, other]) => [user(text(typed), text(hookWrapper(`${ours}\n\n${other}`)))]),
  fc.tuple(line, words).map(([ours, typed]) => [user(text(typed), text(hookWrapper(ours), { cache_control: CACHE }))]),
  fc
    .tuple(line, words, out)
    .map(([ours, typed, other]) => [
      user(text(reminder(other)), text(`${hookReminder(ours)}\n`), text(typed, { cache_control: CACHE })),
    ]),
  fc.tuple(line, words, out).map(([ours, typed, other]) => [
    { role: 'user', content: typed },
    { role: 'system', content: `${other}\n\n${CONTEXT}${ours}` },
  ]),
  fc
    .tuple(line, words, out)
    .map(([ours, typed, other]) => [
      user(text(typed)),
      { role: 'system', content: [text(`# Rules\n\n${CONTEXT}${ours}\n\n${other}\n\n${CONTEXT}${ours}`)] },
    ]),
  fc
    .tuple(line, words)
    .map(([ours, typed]) => [
      user(text(typed)),
      { role: 'system', content: [text(CONTEXT + ours, { cache_control: CACHE })] },
    ]),
  words.map((typed) => [user({ type: 'tool_result', content: hookReminder() }, text(typed))]),
);
const answer = words.map((said) => assistant(text(said), { type: 'tool_use', input: { canary: CANARY } }));
const conversation = fc.array(fc.tuple(turn, answer), { minLength: 1, maxLength: 6 });
const json = fc
  .tuple(conversation, fc.constantFrom(undefined, 1))
  .map(([turns, space]) =>
    JSON.stringify({ messages: turns.flatMap(([messages, reply]) => [...messages, reply]) }, null, space),
  );

const markers = (body: string) => body.match(/"cache_control":/g)?.length ?? 0;

describe('cutMetadata', () => {
  test('gives, for any conversation, a beginning of what it gives for a longer one', () => {
    holds(
      fc.property(conversation, fc.nat(), (turns, cutOff) => {
        const messages = (count: number) =>
          turns.slice(0, count).flatMap(([turnMessages, reply]) => [...turnMessages, reply]);
        const longer = cutMessages(messages(turns.length));
        const shorter = cutMessages(messages(1 + (cutOff % turns.length)));

        expect(longer.slice(0, shorter.length)).toEqual(shorter);
      }),
    );
  });

  test('changes, in any conversation, no byte outside of what it cuts, and leaves a body that can be followed', () => {
    holds(
      fc.property(json, (body) => {
        const tree = cutTree(body);
        const output = Buffer.from(renderedText(tree));

        expect(scanBody(output)).toBeDefined();
        const splices = splicesOf(tree).toSorted((a, b) => a.start - b.start || a.end - b.end);
        let inAt = 0;
        let outAt = 0;
        for (const { start, end, bytes } of splices) {
          const kept = tree.bytes.subarray(inAt, start);
          expect(output.subarray(outAt, outAt + kept.length).equals(kept)).toBe(true);
          outAt += kept.length + bytes.length;
          inAt = end;
        }
        expect(output.subarray(outAt).equals(tree.bytes.subarray(inAt))).toBe(true);
      }),
    );
  });

  test('leaves no block, no empty wrapper, no empty text and no empty message, in any conversation', () => {
    holds(
      fc.property(json, (body) => {
        const { messages } = JSON.parse(renderedText(cutTree(body))) as Body;

        for (const { role, content } of messages) {
          if (role === 'assistant') continue;
          expect(content.length).toBeGreaterThan(0);
          const blocks = typeof content === 'string' ? [text(content)] : content.filter(({ type }) => type === 'text');
          for (const block of blocks) {
            const value = String(block['text']);
            expect(value).not.toMatch(/"v":|"session_id":/);
            expect(value).not.toMatch(/^\s*$|<(system-reminder|user-prompt-submit-hook)>\s*<\/\1>/);
          }
        }
      }),
    );
  });

  test('neither loses nor invents a cache marker, in any conversation, but where two would meet', () => {
    holds(
      fc.property(conversation, (turns) => {
        const messages = turns.flatMap(([turnMessages, reply]) => [...turnMessages, reply]);
        const output = renderedText(cutTree({ messages }));

        expect(markers(output)).toBe(markers(JSON.stringify(messages)));
      }),
    );
  });

  test('finds nothing more to cut in any conversation that it has cut', () => {
    holds(
      fc.property(json, (body) => {
        const once = renderedText(cutTree(body));

        expect(splicesOf(cutTree(once))).toEqual([]);
        expect(treeOf(once).messages.length).toBeGreaterThan(0);
      }),
    );
  });
});
