import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { continuation, instruction } from '@loom/shared/testing/claude-code/compaction.ts';
import { type ClientVersion, RELEASES } from '@loom/shared/testing/claude-code/release.ts';
import { cpuMs } from '@loom/shared/testing/cpu-ms.ts';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { parsePack } from '../../src/core/packs.ts';
import { rewriteCompaction } from '../../src/core/rewrite.ts';
import { matchSignature } from '../../src/core/signature.ts';
import { last, matched, PROMPTS, received } from '../shown.ts';

const signatures = parsePack(readFileSync(new URL('../../packs/claude-code.yaml', import.meta.url), 'utf8'));
const version = fc.constantFrom(...(Object.keys(RELEASES) as ClientVersion[]));
const pieces = [
  ...signatures.flatMap(({ examples }) => examples.found.map(({ text }) => text)),
  ...signatures.map(({ literal }) => literal),
  'Please continue the conversation from where we left it off without asking the user any further questions.',
  'For this reply only: write what the instructions above ask for, please.',
  'The messages after this summary are the most recent messages …',
  '<system-reminder>',
  '</system-reminder>',
  'Additional Instructions:\n',
  'REMINDER: Do NOT call any tools.',
  '. ',
  '\n',
  '\n\n',
];
const ours = [PROMPTS.continuation, PROMPTS.identity, PROMPTS.compact];
const textOf = (from: string[]) =>
  fc
    .array(fc.oneof(fc.constantFrom(...from), fc.string({ unit: 'binary', maxLength: 8 })))
    .map((parts) => parts.join(''));

/** The texts of a request: the summarizer's place, the continuation's, the instruction's. */
interface Texts {
  system: string;
  first: string;
  instruction: string;
}

function rewrite({ system, first, instruction: asked }: Texts): Texts {
  const view = {
    ...last(asked),
    matched: [matched(system, '/system/1/text', 'system'), matched(first)],
  };
  const { edits } = rewriteCompaction(received({ class: 'compaction', view }).data, { current: PROMPTS }, signatures);
  const valueAt = (path: string, text: string) => {
    const edit = edits.find((candidate) => candidate.path === path);
    return edit && 'value' in edit ? String(edit.value) : text;
  };
  return {
    system: valueAt('/system/1/text', system),
    first: valueAt('/messages/0/content/0/text', first),
    instruction: valueAt('/messages/4/content/0/text', asked),
  };
}

describe('rewriteCompaction, whatever the texts', () => {
  const anything = textOf([...pieces, ...ours]);
  const texts = fc.oneof(
    fc.record({ system: anything, first: anything, instruction: anything }),
    fc.record({ version, words: anything, summary: anything }).map(({ version: release, words, summary }) => ({
      system: 'You are a helpful AI assistant tasked with summarizing conversations.',
      first: continuation(release, 'auto', summary, '/t.jsonl'),
      instruction: instruction(release, words),
    })),
  );

  test('finds nothing more to do in a request that it has rewritten', () => {
    const isStable = (before: Texts) => {
      const after = rewrite(before);
      return JSON.stringify(rewrite(after)) === JSON.stringify(after);
    };

    holds(fc.property(texts, isStable), 2_000);
  });

  test('keeps every byte of a summary and of what is said behind the sentence', () => {
    const sentence = /(?:Please c|C)ontinue the conversation from where [^\n]*$/gm;
    const keeps = (release: ClientVersion, summary: string) => {
      const first = continuation(release, 'auto', summary, '/t.jsonl');
      const at = [...first.matchAll(sentence)].at(-1);
      const expected = at
        ? first.slice(0, at.index) + PROMPTS.continuation + first.slice(at.index + at[0].length)
        : undefined;
      return rewrite({ system: '', first, instruction: '' }).first === expected;
    };

    holds(fc.property(version, textOf(pieces), keeps), 2_000);
  });
});

describe('matchSignature, whatever the text', () => {
  test.each([
    ['reminders', '<system-reminder>x</system-reminder>', 10_000],
    ['unclosed reminders', '<system-reminder>', 10_000],
    [
      'sentences',
      'Please continue the conversation from where we left off without asking the user any further questions\n',
      2_000,
    ],
    ['second askings', 'For this reply only: write what the instructions above ask for ', 5_000],
    ['line breaks', '\n', 300_000],
  ])('is done with %s without end long before the request is due', (_, piece, times) => {
    const hostile = signatures.flatMap(({ examples }) =>
      examples.found.map(({ text }) => `${text}\n${piece.repeat(times)}end`),
    );

    const tookMs = cpuMs(() => {
      for (const text of hostile) for (const signature of signatures) matchSignature(signature, text, 'It is me.');
    });

    expect(tookMs).toBeLessThan(10_000);
  });

  test('cuts it in three without losing a byte', () => {
    const isWhole = (text: string) =>
      signatures.every((signature) => {
        const match = matchSignature(signature, text, PROMPTS.continuation);
        return !match || match.before + match.body + match.after === text;
      });

    holds(fc.property(textOf([...pieces, ...ours]), isWhole), 2_000);
  });
});
