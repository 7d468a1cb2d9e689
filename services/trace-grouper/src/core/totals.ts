import { tokensOf } from '@loom/shared/tokens.ts';
import { billedModel, costOf, exact, type Prices } from './prices.ts';
import type { Call } from './turn.ts';

/** What all calls of a turn used together, as `turn.ended` tells it. */
export interface Totals {
  tokens: { prompt: number; completion: number; cacheRead: number; cacheWrite: number; total: number };
  /** USD; null when the price of one of the models is not known. */
  costUsd: number | null;
  /** Those models, each once. */
  unpriced: string[];
}

/**
 * Adds up what calls used, subagents' and auxiliary ones included.
 *
 * @example
 * totalsOf(turn.calls, prices).costUsd; // 0.0412
 */
export function totalsOf(calls: readonly Call[], prices: Prices): Totals {
  const tokens = { prompt: 0, completion: 0, cacheRead: 0, cacheWrite: 0, total: 0 };
  const unpriced = new Set<string>();
  let costUsd = 0;
  for (const call of calls) {
    const { usage } = call;
    if (!usage) continue;
    const used = tokensOf(usage);
    for (const name of Object.keys(tokens) as (keyof typeof tokens)[]) tokens[name] += used[name];
    const model = billedModel(call);
    const cost = costOf(usage, model, prices);
    if (cost) costUsd += cost.total;
    else unpriced.add(model ?? 'none');
  }
  return { tokens, costUsd: unpriced.size > 0 ? null : exact(costUsd), unpriced: [...unpriced] };
}
