import { describe, expect, test } from '@jest/globals';
import { tokensOf } from '../src/tokens.ts';

describe('tokensOf', () => {
  test('counts both caches as parts of the prompt', () => {
    const usage = {
      input_tokens: 3,
      cache_creation_input_tokens: 200,
      cache_read_input_tokens: 9_000,
      output_tokens: 40,
      cache_creation: { ephemeral_5m_input_tokens: 50, ephemeral_1h_input_tokens: 150 },
      output_tokens_details: { thinking_tokens: 11 },
    };

    expect(tokensOf(usage)).toEqual({
      prompt: 9_203,
      completion: 40,
      total: 9_243,
      input: 3,
      cacheRead: 9_000,
      cacheWrite: 200,
      cacheWrite5m: 50,
      cacheWrite1h: 150,
      reasoning: 11,
    });
  });

  test('takes writes of no declared kind for the default one', () => {
    const { cacheWrite, cacheWrite5m, cacheWrite1h } = tokensOf({ cache_creation_input_tokens: 200 });

    expect({ cacheWrite, cacheWrite5m, cacheWrite1h }).toEqual({ cacheWrite: 200, cacheWrite5m: 200, cacheWrite1h: 0 });
  });

  test('counts nothing where the API says nothing that is a count', () => {
    const usage = { input_tokens: null, output_tokens: -1, cache_creation: null, output_tokens_details: 'many' };

    expect(tokensOf(usage)).toEqual({
      prompt: 0,
      completion: 0,
      total: 0,
      input: 0,
      cacheRead: 0,
      cacheWrite: 0,
      cacheWrite5m: 0,
      cacheWrite1h: 0,
    });
  });
});
