import { describe, expect, test } from '@jest/globals';
import { readPrices } from '../../src/adapters/price-file.ts';
import { costOf, modelName, PricesError, parsePrices } from '../../src/core/prices.ts';

const prices = await readPrices();
const MILLION = 1_000_000;

describe('costOf', () => {
  test('takes each kind of token at its own rate', () => {
    const usage = {
      input_tokens: MILLION,
      output_tokens: MILLION,
      cache_read_input_tokens: MILLION,
      cache_creation_input_tokens: 2 * MILLION,
      cache_creation: { ephemeral_5m_input_tokens: MILLION, ephemeral_1h_input_tokens: MILLION },
    };

    expect(costOf(usage, 'claude-opus-5', prices)).toEqual({
      total: 46.75,
      prompt: 21.75,
      completion: 25,
      input: 5,
      cacheRead: 0.5,
      cacheWrite: 16.25,
    });
  });

  test.each([
    ['claude-sonnet-4-5', 200_000, 0.6],
    ['claude-sonnet-4-5', 200_001, 1.200006],
    ['claude-haiku-5-5', 100_000, 0.01],
    ['claude-haiku-5-5', 100_001, 0.0500005],
    ['claude-opus-4-6', 900_000, 4.5],
  ])('takes the long-prompt rates of %s at %i tokens where it has some', (model, tokens, total) => {
    expect(costOf({ input_tokens: tokens }, model, prices)?.total).toBe(total);
  });

  test('counts the caches when it asks whether a prompt is long', () => {
    const usage = { input_tokens: 1, cache_read_input_tokens: 200_000 };

    expect(costOf(usage, 'claude-sonnet-4-5', prices)?.cacheRead).toBe(0.12);
  });

  test.each([
    [{ speed: 'fast' }, 'claude-opus-5', 10],
    [{ speed: 'standard' }, 'claude-opus-5', 5],
    [{ inference_geo: 'us' }, 'claude-opus-5', 5.5],
    [{ inference_geo: 'constructor' }, 'claude-opus-5', 5],
    [{ server_tool_use: { web_search_requests: 3 } }, 'claude-opus-5', 5.03],
  ])('knows what %j does to a price', (mode, model, total) => {
    expect(costOf({ input_tokens: MILLION, ...mode }, model, prices)?.total).toBe(total);
  });

  test.each([
    ['claude-unknown', {}],
    ['gpt-6', {}],
    ['constructor', {}],
    [null, {}],
    ['claude-sonnet-5-5', { speed: 'fast' }],
  ])('has no cost for %s with %j', (model, mode) => {
    expect(costOf({ input_tokens: 10, ...mode }, model, prices)).toBeUndefined();
  });
});

describe('modelName', () => {
  test.each([
    ['claude-sonnet-4-5-20250929', 'claude-sonnet-4-5'],
    ['claude-sonnet-4-20250514', 'claude-sonnet-4'],
    ['claude-3-5-haiku-latest', 'claude-3-5-haiku'],
    ['claude-opus-4-6[1m]', 'claude-opus-4-6'],
    ['us.anthropic.claude-sonnet-4-5-20250929-v1:0', 'claude-sonnet-4-5'],
    ['claude-opus-4-5@20251101', 'claude-opus-4-5'],
    ['anthropic/claude-opus-5-5', 'claude-opus-5-5'],
    ['claude-opus-5', 'claude-opus-5'],
  ])('%s is priced as %s', (model, name) => {
    expect(modelName(model)).toBe(name);
  });
});

describe('parsePrices', () => {
  test('says every problem with its place', () => {
    const text = 'models: [{ names: [], rates: { input: -1, output: 1, cacheWrite5m: 1, cacheWrite1h: 1 } }]';

    expect(() => parsePrices(text)).toThrow(PricesError);
    expect(() => parsePrices(text)).toThrow(/version: .*\n {2}models\.0\.names: .*\n {2}models\.0\.rates\.input: /);
  });

  test('refuses what is no YAML', () => {
    expect(() => parsePrices('models: [')).toThrow(/^expected YAML: /);
  });
});

describe('readPrices', () => {
  test('says which file is missing', async () => {
    await expect(readPrices('/nowhere/prices.yaml')).rejects.toThrow('expected a price table at /nowhere/prices.yaml');
  });
});
