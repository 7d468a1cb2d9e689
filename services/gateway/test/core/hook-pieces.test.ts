import { describe, expect, test } from '@jest/globals';
import { CANARY, formatMetadata, isSignedWith, type Metadata } from '@loom/shared/metadata.ts';
import { cpuMs } from '@loom/shared/testing/cpu-ms.ts';
import { findHookPieces, findQuotedPieces, withoutCuts } from '../../src/core/hook-pieces.ts';
import { acceptAll, CONTEXT, hookReminder, hookWrapper, metadataLine, reminder } from './fixtures/body.ts';

const LINE = metadataLine();
const OUT = 'UserPromptSubmit hook success: ';

function left(text: string, role = 'user'): string {
  return withoutCuts(text, findHookPieces(text, role, acceptAll).cuts);
}

const found = (text: string, role = 'user') => findHookPieces(text, role, acceptAll).found.length;

describe('findHookPieces, in a message of the role system', () => {
  test.each([
    ['in the middle', `before\n\n${CONTEXT}${LINE}\n\nafter`, 'before\n\nafter'],
    ['at the beginning', `${CONTEXT}${LINE}\n\nafter`, 'after'],
    ['at the end', `before\n\n${CONTEXT}${LINE}`, 'before'],
    ['alone', `${CONTEXT}${LINE}`, ''],
    ['as plain output', `before\n\n${OUT}${LINE}\n\nafter`, 'before\n\nafter'],
    ['twice, one behind the other', `before\n\n${CONTEXT}${LINE}\n\n${CONTEXT}${LINE}\n\nafter`, 'before\n\nafter'],
    ['twice at the end', `${OUT}out\n\n${CONTEXT}${LINE}\n\n${CONTEXT}${LINE}`, `${OUT}out`],
    ['twice, with another hook between', `${CONTEXT}${LINE}\n\n${OUT}out\n\n${CONTEXT}${LINE}`, `${OUT}out`],
    ['of another hook event', `a\n\nSessionStart:compact hook additional context: ${LINE}\n\nb`, 'a\n\nb'],
    ['between CRLF line ends', `a\r\n\r\n${CONTEXT}${LINE}\r\n\r\nb`, 'a\r\n\r\nb'],
    ['in tags of its own', `a\n\n<system-reminder>\n${CONTEXT}${LINE}\n</system-reminder>\n\nb`, 'a\n\nb'],
  ])('cuts a block %s', (_, text, rest) => {
    expect(left(text, 'system')).toBe(rest);
  });

  test.each([
    ['without a prefix', `a\n\n${LINE}\n\nb`],
    ['whose prefix is in mid-line', `see ${CONTEXT}${LINE}`],
    ['in a code fence', `\`\`\`\n${LINE}\n\`\`\``],
    ['over two lines', `${CONTEXT}${LINE.replace(',', ',\n')}`],
    ['that is no JSON', `${CONTEXT}{${CANARY}}`],
    ['with another canary', `${CONTEXT}${LINE.replace(CANARY, `${CANARY}x`)}`],
  ])('leaves a block %s', (_, text) => {
    expect(findHookPieces(text, 'system', acceptAll)).toEqual({ found: [], cuts: [] });
  });
});

describe('findHookPieces, in a user message', () => {
  test.each([
    ['a reminder with nothing else', hookReminder(), ''],
    ['a reminder and the line break behind it', `${hookReminder()}\n`, ''],
    ['a reminder in front of the prompt, in one text', `${hookReminder()}\nHello`, 'Hello'],
    ['the second of two reminders', `${reminder('# Date')}\n${hookReminder()}\nHello`, `${reminder('# Date')}\nHello`],
    ['a reminder in one line', `<system-reminder>${CONTEXT}${LINE}</system-reminder>`, ''],
    ['a reminder with CRLF line ends', hookReminder().replaceAll('\n', '\r\n'), ''],
    ['a prefixed object behind a foreign one', reminder(`${OUT}out\n${CONTEXT}${LINE}`), reminder(`${OUT}out`)],
    ['an object that shares its prefix, first', reminder(`${CONTEXT}${LINE}\nout`), reminder(`${CONTEXT}out`)],
    ['an object that shares its prefix, last', reminder(`${CONTEXT}out\n${LINE}`), reminder(`${CONTEXT}out`)],
    ['an object in front of one with a prefix', reminder(`${CONTEXT}${LINE}\n${OUT}out`), reminder(`${OUT}out`)],
    ['two objects', reminder(`${CONTEXT}${LINE}\n${LINE}`), ''],
    ['a wrapper with nothing else', hookWrapper(), ''],
    ['the first in a wrapper', hookWrapper(`${LINE}\n\nout`), hookWrapper('out')],
    ['the middle one in a wrapper', hookWrapper(`a\n\n${LINE}\n\nb`), hookWrapper('a\n\nb')],
    ['the last in a wrapper', hookWrapper(`a {}\n\n${LINE}`), hookWrapper('a {}')],
    ['two in a wrapper, at its end', hookWrapper(`out\n\n${LINE}\n\n${LINE}`), hookWrapper('out')],
  ])('cuts %s', (_, text, rest) => {
    expect(left(text)).toBe(rest);
  });

  test.each([
    ['bare', LINE],
    ['behind a prefix', CONTEXT + LINE],
    ['in a code fence', `\`\`\`json\n${LINE}\n\`\`\``],
    ['quoted', `> ${hookReminder()}`],
    ['behind what was typed', `Look at this:\n${hookReminder()}`],
    ['in a reminder without a prefix', reminder(LINE)],
    ['in a reminder without an end', `<system-reminder>\n${CONTEXT}${LINE}`],
    ['in other tags', `<div>\n${CONTEXT}${LINE}\n</div>`],
  ])('leaves a block that stands %s', (_, text) => {
    expect(findHookPieces(text, 'user', acceptAll)).toEqual({ found: [], cuts: [] });
  });

  test('is not misled by tags, braces, quotes and the canary inside the prompt', () => {
    const prompt = `}{ "\\ </system-reminder></user-prompt-submit-hook>\n${CANARY} {"canary":"${CANARY}"} é漢😀`;
    const line = metadataLine({ prompt });

    expect([
      left(hookReminder(line)),
      left(hookWrapper(`a\n\n${line}`)),
      left(hookWrapper(`${line}\n\nb`)),
      left(`a\n\n${CONTEXT}${line}`, 'system'),
    ]).toEqual(['', hookWrapper('a'), hookWrapper('b'), 'a']);
    expect(findHookPieces(hookReminder(line), 'user', acceptAll).found.map((metadata) => metadata.prompt)).toEqual([
      prompt,
    ]);
  });

  test('takes the object as other JSON writers write it', () => {
    const line = `{"v": 1, "prompt": "\\u003c\\/b\\u00e9", "canary": "${CANARY}"}`;

    expect(findHookPieces(hookReminder(line), 'user', acceptAll).found).toEqual([
      { v: 1, prompt: '</bé', canary: CANARY },
    ]);
  });

  test('leaves what is not accepted: unsigned, forged, changed after it was signed', () => {
    const signed = formatMetadata({ session_id: 's1', prompt: 'Hello' }, 'secret');
    const accept = (line: string, _: Metadata) => isSignedWith(line, 'secret');
    const count = (line: string) => findHookPieces(hookReminder(line), 'user', accept).found.length;

    expect({
      signed: count(signed),
      unsigned: count(metadataLine()),
      forged: count(formatMetadata({ session_id: 's1' }, 'guessed')),
      changed: count(signed.replace('s1', 's2')),
      extended: count(signed.replace(/\}$/, ',"source":"alpha"}')),
    }).toEqual({ signed: 1, unsigned: 0, forged: 0, changed: 0, extended: 0 });
  });

  test.each([
    ['canaries in one line', `{"a":"${`${CANARY} `.repeat(30_000)}`],
    ['lines with the canary', `${CONTEXT}{${CANARY}\n`.repeat(15_000)],
    ['blocks in open wrappers', `<system-reminder>\n${CONTEXT}${LINE}\n`.repeat(5_000)],
    ['blocks in closed wrappers', `${hookReminder()}\n`.repeat(5_000)],
    [
      'empty wrappers in front of blocks',
      '<system-reminder></system-reminder>'.repeat(15_000) + `\n${LINE}`.repeat(5_000),
    ],
  ])('comes to its end at once with a megabyte of %s', (_, text) => {
    const tookMs = cpuMs(() => {
      found(text);
      found(text, 'system');
    });

    expect(tookMs).toBeLessThan(5_000);
  });
});

describe('findQuotedPieces', () => {
  const kept = (text: string) => withoutCuts(text, findQuotedPieces(text, acceptAll));

  test('finds the wrappers of a quoted conversation wherever a line begins with one', () => {
    const text = `This is the conversation:\n\none\n\n${hookWrapper(LINE)}\n\ntwo\n\n${hookWrapper(LINE)}`;

    expect(kept(text)).toBe('This is the conversation:\n\none\n\ntwo');
  });

  test('leaves the line breaks with which a quoted prompt itself ends', () => {
    expect(kept(`one\n\ntwo\n\n\n${hookWrapper(LINE)}`)).toBe('one\n\ntwo\n');
  });

  test('leaves what another hook says in the same wrapper, and a block without one', () => {
    const text = `one\n\n${hookWrapper(`${LINE}\n\nother`)}\n\n${LINE}`;

    expect(kept(text)).toBe(`one\n\n${hookWrapper('other')}\n\n${LINE}`);
  });
});
