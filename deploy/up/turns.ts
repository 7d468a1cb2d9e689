import type { EditOutcome, LoomEvent } from '@loom/shared/event.ts';
import { findTraceParent } from '@loom/shared/trace-context.ts';

/** One exchange of a turn, as far as its events have come. */
interface Call {
  requestId: string;
  edits: EditOutcome[];
  /** Absent until the response has ended. */
  response?: { data: LoomEvent<'response.completed' | 'response.failed'>['data']; time: string };
}

/** The exchanges of class `main` of one trace: from the prompt to the answer that asks for no tool. */
export interface Turn {
  traceId: string;
  session: string;
  profile: string;
  model: string | null;
  calls: Call[];
  /** `open`; then the last stop reason, what failed (`overloaded_error`), or `left open`. */
  end: string;
}

/** What is known of the turns that go on, one for each session; a value, never changed in place. */
export interface Turns {
  open: ReadonlyMap<string, Turn>;
  /** Request ids of the last exchanges that ended a turn: events may come twice. */
  settled: readonly string[];
}

export const NO_TURNS: Turns = { open: new Map(), settled: [] };

/** The client goes on after these: with the tools' results, or to let the model continue. */
const CONTINUING = new Set(['tool_use', 'pause_turn']);

const MAX_OPEN = 500;
const MAX_SETTLED = 500;

/**
 * Folds one event of `loom:responses` into the turns.
 *
 * A turn ends with an answer that asks for no tool, with a failed response, or, left open, with the next turn of its
 * session: the user refused a tool and typed something else.
 *
 * @returns the turns after it, and those that it ended
 *
 * @example
 * const { turns, ended } = foldTurns(NO_TURNS, event);
 * ended.map(formatTurn); // ['3f2a91c0 alpha claude-opus-4-6 · 2 calls · Bash · …']
 */
export function foldTurns(turns: Turns, event: LoomEvent): { turns: Turns; ended: Turn[] } {
  if (!isExchangeOfMain(event) || turns.settled.includes(event.data.requestId)) return { turns, ended: [] };
  const open = new Map(turns.open);
  const ended: Turn[] = [];
  const leave = (turn: Turn) => {
    open.delete(turn.session);
    ended.push({ ...turn, end: 'left open' });
  };

  const { requestId, profile, model } = event.data;
  const traceId = findTraceParent(event.traceparent)?.traceId ?? requestId;
  const before = open.get(event.subject);
  if (before && before.traceId !== traceId) leave(before);
  const calls = before?.traceId === traceId ? before.calls : [];
  const turn: Turn = {
    traceId,
    session: event.subject,
    profile,
    model,
    calls: withEvent(calls, event),
    end: endOf(event),
  };
  if (turn.end !== 'open') {
    open.delete(turn.session);
    ended.push(turn);
    return { turns: { open, settled: [...turns.settled, requestId].slice(-MAX_SETTLED) }, ended };
  }
  open.set(turn.session, turn);
  if (open.size > MAX_OPEN) leave(open.values().next().value as Turn);
  return { turns: { ...turns, open }, ended };
}

type ExchangeEvent = LoomEvent<'request.forwarded' | 'response.completed' | 'response.failed'>;

function isExchangeOfMain(event: LoomEvent): event is ExchangeEvent {
  return (
    (event.type === 'request.forwarded' || event.type === 'response.completed' || event.type === 'response.failed') &&
    event.data.class === 'main'
  );
}

function withEvent(calls: Call[], event: ExchangeEvent): Call[] {
  const { requestId } = event.data;
  const known: Call = calls.find((call) => call.requestId === requestId) ?? { requestId, edits: [] };
  const call: Call =
    event.type === 'request.forwarded'
      ? { ...known, edits: event.data.edits }
      : { ...known, response: { data: event.data, time: event.time } };
  return [...calls.filter((other) => other.requestId !== requestId), call];
}

function endOf(event: ExchangeEvent): Turn['end'] {
  if (event.type === 'request.forwarded') return 'open';
  if (event.type === 'response.failed') return event.data.errorType ?? event.data.endReason;
  const { stopReason } = event.data;
  return CONTINUING.has(stopReason ?? '') ? 'open' : (stopReason ?? 'no stop reason');
}
