import { describe, expect, test } from '@jest/globals';
import type { AcceptMetadata } from '../../src/core/hook-pieces.ts';
import { readHookText } from '../../src/core/hook-text.ts';
import { encodeToken } from '../../src/core/json-text.ts';
import { CONTEXT, hookReminder, hookWrapper, metadataLine } from './fixtures/body.ts';

const traits = { role: 'user', isQuoting: false };

/** Accepts what it is asked about, and says how often that was. */
function counting(answer = true): { accept: AcceptMetadata; asked: () => number } {
  let count = 0;
  const accept = () => {
    count++;
    return answer;
  };
  return { accept, asked: () => count };
}

describe('readHookText', () => {
  test('reads a block of the history once, however often it comes back', () => {
    const { accept, asked } = counting();
    const token = encodeToken(hookReminder());

    const first = readHookText(token, { ...traits, accept });
    const again = readHookText(Buffer.from(token), { ...traits, accept });

    expect(first.pieces.found.length).toBe(1);
    expect(again).toEqual(first);
    expect(asked()).toBe(1);
  });

  test('tells the same bytes apart by the role that they stand in', () => {
    const { accept } = counting();
    const token = encodeToken(`before\n\n${CONTEXT}${metadataLine()}`);

    expect(readHookText(token, { ...traits, role: 'user', accept }).pieces.found.length).toBe(0);
    expect(readHookText(token, { ...traits, role: 'system', accept }).pieces.found.length).toBe(1);
  });

  test('tells them apart by whether the client quotes a conversation', () => {
    const { accept } = counting();
    const token = encodeToken(`title this:\n${hookWrapper()}`);

    expect(readHookText(token, { ...traits, accept }).pieces.cuts.length).toBe(0);
    expect(readHookText(token, { ...traits, isQuoting: true, accept }).pieces.cuts.length).toBe(1);
  });

  test('takes nobody else’s word for what is signed', () => {
    const token = encodeToken(hookReminder());

    expect(readHookText(token, { ...traits, accept: counting(true).accept }).pieces.found.length).toBe(1);
    expect(readHookText(token, { ...traits, accept: counting(false).accept }).pieces.found.length).toBe(0);
  });

  test('finds nothing in a token that is no JSON', () => {
    const token = Buffer.from(`"\\x ${hookReminder()}"`);

    expect(readHookText(token, { ...traits, accept: () => true }).pieces).toEqual({ found: [], cuts: [] });
  });
});
