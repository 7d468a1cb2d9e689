import { describe, expect, test } from '@jest/globals';
import { normalisedMessages, PromptCache } from '../../src/testing/prompt-cache.ts';

const MARK = { cache_control: { type: 'ephemeral' } };
const user = (text: string, mark = {}) => ({ role: 'user', content: [{ type: 'text', text, ...mark }] });
const assistant = (text: string) => ({ role: 'assistant', content: [{ type: 'text', text }] });

/** One turn, as a client sends it: the system prompt and the last message are marked. */
const BODY = {
  model: 'claude-sonnet-4-6',
  tools: [{ name: 'Bash', description: 'Runs a command.' }],
  system: [{ type: 'text', text: 'You are a loom.', ...MARK }],
  messages: [user('One.', MARK)],
};

describe('PromptCache', () => {
  test('writes what is marked, and bills what comes after the last mark', () => {
    const body = { ...BODY, messages: [user('One.', MARK), assistant('1'), user('Two.')] };

    expect(new PromptCache().record(body)).toEqual({
      input_tokens: 19,
      cache_creation_input_tokens: 34,
      cache_read_input_tokens: 0,
    });
  });

  test('reads the same request whole', () => {
    const cache = new PromptCache();
    cache.record(BODY);

    expect(cache.record(BODY)).toEqual({
      input_tokens: 0,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 34,
    });
  });

  test('reads up to the mark of the turn before, wherever the mark is now and whatever form the content has', () => {
    const cache = new PromptCache();
    cache.record(BODY);

    const next = [{ role: 'user', content: 'One.' }, assistant('1'), user('Two.', MARK)];

    expect(cache.record({ ...BODY, messages: next })).toEqual({
      input_tokens: 0,
      cache_creation_input_tokens: 19,
      cache_read_input_tokens: 34,
    });
  });

  test('falls back to the system prompt when an earlier message has changed', () => {
    const cache = new PromptCache();
    cache.record(BODY);

    const next = [user('One!'), assistant('1'), user('Two.', MARK)];

    expect(cache.record({ ...BODY, messages: next })).toEqual({
      input_tokens: 0,
      cache_creation_input_tokens: 28,
      cache_read_input_tokens: 25,
    });
  });

  test.each([
    ['a tool', { tools: [{ name: 'Bash', description: 'Runs a command!' }] }],
    ['the system prompt', { system: [{ type: 'text', text: 'You are a lamb.', ...MARK }] }],
    ['the model', { model: 'claude-opus-5-5' }],
  ])('reads nothing when %s has changed', (_, change) => {
    const cache = new PromptCache();
    cache.record(BODY);

    expect(cache.record({ ...BODY, ...change }).cache_read_input_tokens).toBe(0);
  });

  test.each([
    [18, 34],
    [19, 25],
  ])('looks back 20 blocks from a mark: %i unmarked ones after the entry', (between, read) => {
    const cache = new PromptCache();
    cache.record(BODY);

    const blocks = Array.from({ length: between }, (_, index) => assistant(`${index}`));

    expect(
      cache.record({ ...BODY, messages: [user('One.'), ...blocks, user('Two.', MARK)] }).cache_read_input_tokens,
    ).toBe(read);
  });
});

describe('normalisedMessages', () => {
  test('gives the same text for both forms, marked or not', () => {
    const list = { messages: [user('One.', MARK), assistant('1')] };
    const string = { messages: [{ role: 'user', content: 'One.' }, assistant('1')] };

    expect(normalisedMessages(list)).toEqual([
      '{"role":"user","content":[{"type":"text","text":"One."}]}',
      '{"role":"assistant","content":[{"type":"text","text":"1"}]}',
    ]);
    expect(normalisedMessages(string)).toEqual(normalisedMessages(list));
  });
});
