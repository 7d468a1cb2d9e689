import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { PackError, parsePack, type Signature, wantsOf } from '../../src/core/packs.ts';
import { findArgument, matchSignature } from '../../src/core/signature.ts';

const source = readFileSync(new URL('../../packs/claude-code.yaml', import.meta.url), 'utf8');
const signatures = parsePack(source);

const found = signatures.flatMap((signature) => signature.examples.found.map((example) => ({ signature, example })));
const ignored = signatures.flatMap((signature) => signature.examples.ignored.map((text) => ({ signature, text })));
const labelled = <T extends { signature: Signature }>(rows: T[]) =>
  rows.map((row) => [row.signature.label, row] as const);

describe('packs/claude-code.yaml', () => {
  test.each(labelled(found))('finds %s in its example', (_, { signature, example }) => {
    const match = matchSignature(signature, example.text, signature.examples.own);

    expect(match?.body).toEqual(example.body);
    expect(findArgument(signature, example.body)).toEqual(example.argument);
  });

  test.each(labelled(found))('has the gateway look for %s in its example', (_, { signature, example }) => {
    expect(example.text).toContain(signature.literal);
  });

  test.each(labelled(ignored))('does not find %s where somebody else says it', (_, { signature, text }) => {
    expect(matchSignature(signature, text, signature.examples.own)).toBeUndefined();
  });
});

describe('wantsOf', () => {
  test('asks for each literal in its place, and for every compaction', () => {
    expect(wantsOf(signatures)).toEqual([
      {
        on: 'literal',
        label: 'system.summarizer',
        literal: 'You are a helpful AI assistant tasked with summarizing',
        where: 'system',
      },
      {
        on: 'literal',
        label: 'instruction.plain',
        literal: 'Your task is to create a detailed summary of',
        where: 'last',
      },
      {
        on: 'literal',
        label: 'instruction.text-only',
        literal: 'CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.',
        where: 'last',
      },
      {
        on: 'literal',
        label: 'continuation.please',
        literal: 'Please continue the conversation from where we left',
        where: 'any',
      },
      {
        on: 'literal',
        label: 'continuation.resume',
        literal: 'Continue the conversation from where',
        where: 'any',
      },
      {
        on: 'literal',
        label: 'continuation.appended',
        literal: 'Continue with the last task that you were asked to work on',
        where: 'any',
      },
      {
        on: 'literal',
        label: 'continuation.opening',
        literal: 'This session is being continued from a previous conversation',
        where: 'any',
      },
      { on: 'class', class: 'compaction' },
    ]);
  });
});

describe('parsePack', () => {
  const valid = `signatures:
  - label: a.b
    clients: all
    phase: system
    where: system
    literal: You are tasked
    sits: start
    pattern: You are tasked
    examples: { found: [{ text: You are tasked, body: You are tasked }], ignored: [Tasked] }
`;

  test('names every problem and its place', () => {
    const wrong = valid
      .replace('sits: start', 'sits: somewhere')
      .replace('pattern: You', "pattern: '(You'")
      .replace("'(You' are tasked", "'(You'")
      .replace('literal: You are tasked', 'literal: short');

    expect(() => parsePack(wrong)).toThrow(
      new PackError(
        [
          'this pack is wrong:',
          '  signatures.0.literal: expected at least 8 characters without a line break, quote or backslash',
          '  signatures.0.sits: Invalid option: expected one of "start"|"end"|"appended"',
          '  signatures.0.pattern: expected a regular expression, got SyntaxError: Invalid regular expression: /(You/g: Unterminated group',
        ].join('\n'),
      ),
    );
  });

  test('refuses a field that it does not know, for it would have no effect', () => {
    expect(() => parsePack(valid.replace('clients:', 'keep: [x]\n    clients:'))).toThrow(
      new PackError('this pack is wrong:\n  signatures.0: Unrecognized key: "keep"'),
    );
  });

  test('refuses two signatures of one label, for an answer could not be told from the other', () => {
    const twice = `${valid}${valid.replace('signatures:\n', '')}`;

    expect(() => parsePack(twice)).toThrow(
      new PackError('this pack is wrong:\n  signatures: expected each label once'),
    );
  });

  test('refuses what is no YAML', () => {
    expect(() => parsePack('signatures: [')).toThrow(PackError);
  });
});
