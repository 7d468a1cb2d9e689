import type { ExchangeTrace, RequestClass } from '@loom/shared/event.ts';

/** Calls that are the turn's own work: they open it and hold it open. The others only happen in its trace. */
const WORKING: ReadonlySet<RequestClass> = new Set(['main', 'subagent', 'compaction']);

export function isWorking(requestClass: RequestClass): boolean {
  return WORKING.has(requestClass);
}

/** Names a turn everywhere. */
export function turnKey({ traceId, rootSpanId }: ExchangeTrace): string {
  return `${traceId}-${rootSpanId}`;
}

/** Names the place of an exchange that no turn has, or none any more: it is kept, and told of, by itself. */
export function looseKey(trace: ExchangeTrace, requestId: string): string {
  return `${turnKey(trace)}+${requestId}`;
}

export function isLooseKey(key: string): boolean {
  return key.includes('+');
}

/** Where an exchange's records are kept. */
export function placeOf(trace: ExchangeTrace, requestId: string): string {
  return trace.origin === 'none' ? looseKey(trace, requestId) : turnKey(trace);
}
