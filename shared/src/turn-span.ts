import { createHash } from 'node:crypto';
import type { ExchangeTrace } from './event-data/exchange-trace.ts';

/**
 * A span id that follows from names alone: everybody who knows them knows the span, and who exports it again exports
 * the same span. 16 lower-case hex digits.
 *
 * @example
 * derivedSpanId(traceId, requestId, 'chat'); // 'a7ad48f0fcf18e5d'
 */
export function derivedSpanId(...names: string[]): string {
  return createHash('sha256').update(names.join(':')).digest('hex').slice(0, 16);
}

/** The span `turn`: its trace and the span that stands for what the user typed name it. */
export function turnSpanIdOf(traceId: string, rootSpanId: string): string {
  return derivedSpanId(traceId, rootSpanId, 'turn');
}

/** The span of a subagent of that turn (`x-claude-code-agent-id`). */
export function agentSpanIdOf(traceId: string, rootSpanId: string, agentId: string): string {
  return derivedSpanId(traceId, rootSpanId, 'agent', agentId);
}

/**
 * What a request span descends from: in a turn of ours its `turn` span, or that of the agent that sends it; in a trace of
 * the client's the client's own span; undefined for the root of a trace of its own.
 */
export function requestParentOf(
  {
    traceId,
    rootSpanId,
    origin,
    clientSpanId,
  }: Pick<ExchangeTrace, 'traceId' | 'rootSpanId' | 'origin' | 'clientSpanId'>,
  agentId?: string,
): string | undefined {
  if (origin === 'client' || origin === 'none') return clientSpanId;
  return agentId === undefined ? turnSpanIdOf(traceId, rootSpanId) : agentSpanIdOf(traceId, rootSpanId, agentId);
}
