import type { Usage } from '@loom/shared/event.ts';
import { count, field, tokensOf } from '@loom/shared/tokens.ts';
import { parse } from 'yaml';
import { z } from 'zod';

/** A price table that cannot be used: one line a problem, each with its place in the file. */
export class PricesError extends Error {
  override name = 'PricesError';
}

const usd = z.number().nonnegative();

/** USD for a million tokens of each kind. */
const Rates = z.strictObject({ input: usd, output: usd, cacheWrite5m: usd, cacheWrite1h: usd, cacheRead: usd });

const Model = z.strictObject({
  names: z.array(z.string().min(1)).min(1),
  rates: Rates,
  over: z.strictObject({ promptTokens: z.int().positive(), rates: Rates }).optional(),
  fast: z.number().positive().optional(),
});

const Table = z.strictObject({
  version: z.string().min(1),
  models: z.array(Model).min(1),
  regions: z.record(z.string(), z.number().positive()).default({}),
  webSearch: usd.default(0),
});

/** What the tokens of each model cost; `prices/anthropic.yaml` explains each field. */
export interface Prices {
  version: string;
  /** By the name that `modelName` gives. */
  models: ReadonlyMap<string, z.infer<typeof Model>>;
  regions: ReadonlyMap<string, number>;
  webSearch: number;
}

/**
 * Reads a price table (YAML); throws PricesError with every problem and its place.
 *
 * @example
 * parsePrices(await readFile('prices/anthropic.yaml', 'utf8')).version; // 'anthropic-2026-11'
 */
export function parsePrices(text: string): Prices {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw new PricesError(`expected YAML: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const table = Table.safeParse(document);
  if (!table.success) {
    const lines = table.error.issues.map(({ path, message }) => `  ${path.join('.') || 'the file'}: ${message}`);
    throw new PricesError(`these prices are wrong:\n${lines.join('\n')}`);
  }
  const { models, regions, ...rest } = table.data;
  return {
    ...rest,
    models: new Map(models.flatMap((model) => model.names.map((name) => [name, model] as const))),
    regions: new Map(Object.entries(regions)),
  };
}

/**
 * A model's name without what does not change its price: a date, a cloud's prefix and revision, `[1m]`.
 *
 * @example
 * modelName('us.anthropic.claude-sonnet-4-5-20250929-v1:0'); // 'claude-sonnet-4-5'
 */
export function modelName(model: string): string {
  return model
    .replace(/\[1m\]$/, '')
    .replace(/^.*[./](?=claude-)/, '')
    .replace(/-v\d+(:\d+)?$/, '')
    .replace(/[-@](\d{8}|latest)$/, '');
}

/** The model that is paid for: the one that answered, which need not be the one that was asked for. */
export function billedModel({ responseModel, model }: { responseModel: string | null; model: string | null }) {
  return responseModel ?? model;
}

/** USD, by what it was paid for. */
export interface Cost {
  total: number;
  prompt: number;
  completion: number;
  input: number;
  cacheRead: number;
  cacheWrite: number;
}

const MILLION = 1_000_000;

/**
 * What an answer cost; undefined where the table does not know the model, or not the mode that it ran in. Web searches
 * are part of `total` alone.
 *
 * @example
 * costOf({ input_tokens: 1_000_000 }, 'claude-opus-5', prices)?.total; // 5
 */
export function costOf(usage: Usage, model: string | null, prices: Prices): Cost | undefined {
  const entry = prices.models.get(modelName(model ?? ''));
  if (!entry) return undefined;
  const speed = usage['speed'] === 'fast' ? entry.fast : 1;
  if (speed === undefined) return undefined;

  const tokens = tokensOf(usage);
  const { over } = entry;
  const rates = over && tokens.prompt > over.promptTokens ? over.rates : entry.rates;
  const factor = (speed * (prices.regions.get(String(usage['inference_geo'])) ?? 1)) / MILLION;

  const input = tokens.input * rates.input * factor;
  const cacheRead = tokens.cacheRead * rates.cacheRead * factor;
  const cacheWrite = (tokens.cacheWrite5m * rates.cacheWrite5m + tokens.cacheWrite1h * rates.cacheWrite1h) * factor;
  const completion = tokens.completion * rates.output * factor;
  const prompt = input + cacheRead + cacheWrite;
  const searches = count(field(usage['server_tool_use'], 'web_search_requests')) * prices.webSearch;
  return {
    total: exact(prompt + completion + searches),
    prompt: exact(prompt),
    completion: exact(completion),
    input: exact(input),
    cacheRead: exact(cacheRead),
    cacheWrite: exact(cacheWrite),
  };
}

/** Without the noise of binary fractions: a billionth of a dollar is less than any token costs. */
export function exact(usd: number): number {
  return Math.round(usd * 1e9) / 1e9;
}
