import type { CallOf } from './calls.ts';
import type { ToolUse } from './turn.ts';

interface Result {
  by: CallOf;
  isError: boolean;
}

/**
 * The tools that the answers of a turn asked for. Nobody tells when one ran: it is taken to begin when the answer that
 * asked for it was complete, and to end when the first request with its result arrived, or with the turn. Where the
 * client says how long it took, and which one is meant is beyond doubt, it begins that long before its end.
 *
 * @param endedAt of the turn: the end of a tool whose result nobody brought
 */
export function toolsOf(calls: readonly CallOf[], endedAt: number): ToolUse[] {
  const results = resultsOf(calls);
  const asked = new Set<string>();
  return calls.flatMap(({ exchange, call }) => {
    // What a broken answer asked for, no client does.
    if (call.endReason !== 'complete' || call.endedAt === undefined) return [];
    const askedAt = call.endedAt;
    const names = new Map((exchange.response?.data.toolUses ?? []).map(({ id, name }) => [id, name]));
    return [...names].flatMap(([id, name]): ToolUse[] => {
      if (asked.has(id)) return [];
      asked.add(id);
      const result = results.get(resultName(call.agentId, id));
      const end = Math.max(askedAt, result?.by.call.startedAt ?? endedAt);
      const tookMs = result && durationOf(result.by, name, names);
      return [
        {
          id,
          name,
          askedBy: call.requestId,
          ...(result && { answeredBy: result.by.call.requestId }),
          startedAt: tookMs === undefined ? askedAt : Math.max(askedAt, end - tookMs),
          endedAt: end,
          isError: result?.isError ?? false,
          ...(call.agentId !== undefined && { agentId: call.agentId }),
        },
      ];
    });
  });
}

/** The first request that brought each result, in the conversation that asked for it. */
function resultsOf(calls: readonly CallOf[]): Map<string, Result> {
  const results = new Map<string, Result>();
  for (const by of calls)
    for (const { id, isError } of by.exchange.forwarded?.data.toolResults ?? []) {
      const name = resultName(by.call.agentId, id);
      if (!results.has(name)) results.set(name, { by, isError });
    }
  return results;
}

function resultName(agentId: string | undefined, id: string): string {
  return `${agentId ?? ''} ${id}`;
}

/** The client's word on how long a tool took, milliseconds; undefined where two results or two times have its name. */
function durationOf(by: CallOf, name: string, names: ReadonlyMap<string, string>): number | undefined {
  const { toolDurations = '', toolResults = [] } = by.exchange.forwarded?.data ?? {};
  const times = [...toolDurations.matchAll(/([^\s=,;]+)=(\d+(?:\.\d+)?)/g)].filter(([, tool]) => tool === name);
  const brought = toolResults.filter(({ id }) => names.get(id) === name);
  return times.length === 1 && brought.length === 1 ? Number(times[0]?.[2]) : undefined;
}
