import type { DataOf, Draft } from '@loom/shared/event.ts';
import { isWorking, turnKey } from './place.ts';
import type { Prices } from './prices.ts';
import { arrivalOf, type PlacedRecord } from './record.ts';
import { totalsOf } from './totals.ts';
import type { Call, ToolUse, Turn } from './turn.ts';

const MAX_PROMPT_LENGTH = 2_000;

/** Says that a turn began, by the first record of it that came. Made again it has the same id. */
export function turnStarted(record: PlacedRecord): Draft {
  const { kind, session, data } = record;
  if (!data.trace) throw new Error('expected the trace of a record that opens a turn');
  const { traceId, rootSpanId, origin } = data.trace;
  const turn = turnKey(data.trace);
  const hook = kind === 'received' && origin === 'hook' ? data.hook : undefined;
  return {
    type: 'turn.started',
    id: `${turn}:started`,
    subject: session,
    data: {
      turn,
      traceId,
      rootSpanId,
      origin,
      profile: data.profile,
      prompt: shortened(hook?.prompt ?? null),
      startedAt: new Date(arrivalOf(record)).toISOString(),
    },
  };
}

/**
 * Says what became of a turn. Made again it has the same id.
 *
 * @example
 * turnEnded({ ...turn, endReason: 'end_turn' }, prices).data; // { turn: '…', durationMs: 8200, costUsd: 0.0412, … }
 */
export function turnEnded(turn: Turn, prices: Prices): Draft & { type: 'turn.ended' } {
  const { key, session, traceId, rootSpanId, origin, profile, calls, tools } = turn;
  const working = calls.filter((call) => isWorking(call.class));
  const { tokens, costUsd } = totalsOf(calls, prices);
  return {
    type: 'turn.ended',
    id: `${key}:ended`,
    subject: session,
    data: {
      turn: key,
      traceId,
      rootSpanId,
      origin,
      profile,
      prompt: shortened(turn.prompt),
      startedAt: new Date(turn.startedAt).toISOString(),
      endedAt: new Date(turn.endedAt).toISOString(),
      durationMs: turn.endedAt - turn.startedAt,
      endReason: turn.endReason,
      ...(turn.errorType !== undefined && { errorType: turn.errorType }),
      answer: turn.answer,
      models: [...new Set(working.flatMap(({ model }) => model ?? []))],
      calls: countsOf(working),
      tools: tallyOf(tools),
      tokens,
      costUsd,
      prices: prices.version,
    },
  };
}

function countsOf(calls: readonly Call[]): DataOf<'turn.ended'>['calls'] {
  const count = (holds: (call: Call) => boolean) => calls.filter(holds).length;
  return {
    main: count((call) => call.class === 'main'),
    subagent: count((call) => call.class === 'subagent'),
    compaction: count((call) => call.class === 'compaction'),
    retried: count(({ retryOf }) => retryOf !== undefined),
    failed: count(({ endReason }) => endReason !== undefined && endReason !== 'complete'),
  };
}

function tallyOf(tools: readonly ToolUse[]): DataOf<'turn.ended'>['tools'] {
  return [...Map.groupBy(tools, ({ name }) => name)].map(([name, uses]) => ({
    name,
    calls: uses.length,
    errors: uses.filter(({ isError }) => isError).length,
  }));
}

function shortened(prompt: string | null): string | null {
  return prompt === null ? null : prompt.slice(0, MAX_PROMPT_LENGTH).toWellFormed();
}
