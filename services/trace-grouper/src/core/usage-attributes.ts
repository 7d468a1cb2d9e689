import type { Usage } from '@loom/shared/event.ts';
import { tokensOf } from '@loom/shared/tokens.ts';
import { ATTRIBUTE } from './attribute.ts';
import { costOf, type Prices } from './prices.ts';
import type { SpanData } from './span-data.ts';

/**
 * The tokens and the cost of one call, by the names of both conventions. A cache that was not used has no count, an
 * unknown price no cost.
 */
export function usageAttributes(usage: Usage, model: string | null, prices: Prices): SpanData['attributes'] {
  const tokens = tokensOf(usage);
  const cost = costOf(usage, model, prices);
  const cacheRead = some(tokens.cacheRead);
  const cacheWrite = some(tokens.cacheWrite);
  return {
    [ATTRIBUTE.inputTokens]: tokens.prompt,
    [ATTRIBUTE.outputTokens]: tokens.completion,
    [ATTRIBUTE.cacheReadTokens]: cacheRead,
    [ATTRIBUTE.cacheWriteTokens]: cacheWrite,
    [ATTRIBUTE.cacheCreationTokens]: cacheWrite,
    [ATTRIBUTE.reasoningTokens]: tokens.reasoning,
    [ATTRIBUTE.promptTokens]: tokens.prompt,
    [ATTRIBUTE.completionTokens]: tokens.completion,
    [ATTRIBUTE.totalTokens]: tokens.total,
    [ATTRIBUTE.promptCacheRead]: cacheRead,
    [ATTRIBUTE.promptCacheWrite]: cacheWrite,
    [ATTRIBUTE.completionReasoning]: tokens.reasoning,
    [ATTRIBUTE.cacheWrite5m]: some(tokens.cacheWrite5m),
    [ATTRIBUTE.cacheWrite1h]: some(tokens.cacheWrite1h),
    ...(cost && {
      [ATTRIBUTE.costPrompt]: cost.prompt,
      [ATTRIBUTE.costCompletion]: cost.completion,
      [ATTRIBUTE.costTotal]: cost.total,
      [ATTRIBUTE.costInput]: cost.input,
      [ATTRIBUTE.costCacheRead]: tokens.cacheRead > 0 ? cost.cacheRead : undefined,
      [ATTRIBUTE.costCacheWrite]: tokens.cacheWrite > 0 ? cost.cacheWrite : undefined,
      [ATTRIBUTE.operationCost]: cost.total,
      [ATTRIBUTE.prices]: prices.version,
    }),
  };
}

const some = (tokens: number) => (tokens > 0 ? tokens : undefined);
