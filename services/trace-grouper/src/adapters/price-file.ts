import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Prices, PricesError, parsePrices } from '../core/prices.ts';

const OWN = join(import.meta.dirname, '../../prices/anthropic.yaml');

/** Reads the price table that comes with the service, or the one at a path; throws PricesError with what is wrong. */
export async function readPrices(path = OWN): Promise<Prices> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new PricesError(`expected a price table at ${path}`, { cause: error });
  }
  return parsePrices(text);
}
