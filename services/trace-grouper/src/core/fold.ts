import { agentsOf } from './agents.ts';
import { type CallOf, callsOf } from './calls.ts';
import { isWorking, turnKey } from './place.ts';
import type { ExchangeRecord, TurnRecord } from './record.ts';
import { saidIn } from './said.ts';
import { toolsOf } from './tools.ts';
import type { Call, Turn } from './turn.ts';
import { outcomeOf } from './turn-end.ts';

/** Exchanges that say by themselves which turn they belong to; the others were given the session's newest. */
const NAMING = new Set(['hook', 'client', 'gateway']);

/**
 * Makes a turn of what its events left. Their order does not matter, nor does one that comes twice. It is `open`: how it
 * ended is for `judge` to say.
 *
 * @returns undefined as long as no exchange is known
 *
 * @example
 * foldTurn(records)?.calls.map(({ stopReason }) => stopReason); // ['tool_use', 'end_turn']
 */
export function foldTurn(records: readonly TurnRecord[]): Turn | undefined {
  const calls = callsOf(records.filter((record): record is ExchangeRecord => record.kind !== 'interrupted'));
  const working = calls.filter(({ call }) => isWorking(call.class));
  const traces = (working.length > 0 ? working : calls).map(openingOf);
  const opening = traces.find(({ trace }) => NAMING.has(trace.origin)) ?? traces[0];
  if (!opening) return undefined;

  const { trace, profile, session } = opening;
  const interruptedAt = latest(records.flatMap(({ kind, time }) => (kind === 'interrupted' ? [time] : [])));
  const endedAt = latest([...calls.flatMap(({ call }) => momentsOf(call)), interruptedAt ?? 0]) ?? 0;
  const tools = toolsOf(calls, endedAt);
  const hook = calls.find(({ exchange }) => exchange.received?.data.trace?.origin === 'hook')?.exchange.received?.data
    .hook;
  return {
    key: turnKey(trace),
    session,
    traceId: trace.traceId,
    rootSpanId: trace.rootSpanId,
    origin: trace.origin,
    ...(trace.clientSpanId !== undefined && { clientSpanId: trace.clientSpanId }),
    profile,
    ...(hook && { hook }),
    prompt: hook?.prompt ?? (saidIn(mainCalls(calls)[0]?.captured?.input) || null),
    startedAt: Math.min(...calls.map(({ call }) => call.startedAt)),
    endedAt,
    ...(interruptedAt !== undefined && { interruptedAt }),
    endReason: 'open',
    answer: answerOf(mainCalls(calls)),
    calls: calls.map(({ call }) => call),
    tools,
    agents: agentsOf(calls, tools),
  };
}

function openingOf({ exchange: { received, forwarded, response } }: CallOf) {
  const record = received ?? forwarded ?? response;
  if (!record?.data.trace) throw new Error('expected the trace of an exchange that made a call');
  return { session: record.session, profile: record.data.profile, trace: record.data.trace };
}

function mainCalls(calls: readonly CallOf[]): Call[] {
  return calls.flatMap(({ call }) => (call.class === 'main' ? [call] : []));
}

/** The text of the newest main answer, if that was complete and asked for no tool. */
function answerOf(calls: readonly Call[]): string | null {
  const last = calls.at(-1);
  return last?.endReason === 'complete' && outcomeOf(last) !== undefined && last.text !== '' ? last.text : null;
}

function momentsOf({ startedAt, forwardedAt, endedAt }: Call): number[] {
  return [startedAt, forwardedAt ?? startedAt, endedAt ?? startedAt];
}

function latest(times: readonly number[]): number | undefined {
  return times.length > 0 ? Math.max(...times) : undefined;
}
