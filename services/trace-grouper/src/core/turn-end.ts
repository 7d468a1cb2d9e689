import { isWorking } from './place.ts';
import type { Call, Turn } from './turn.ts';

export interface TurnLimits {
  /** How long a final answer waits for the client to go on all the same, milliseconds. */
  graceMs: number;
  /** How long a failed call waits for its retry. */
  retryMs: number;
  /** How long a turn of which nothing is heard stays open. */
  idleMs: number;
  /** The same where a tool was asked for: it may run for long, or wait for a person. */
  toolIdleMs: number;
}

/** How a turn stands at the moment. */
export interface Standing {
  /** Since the last event of the turn's own work was taken, milliseconds. */
  quietMs: number;
  /** The session has a newer turn. */
  isSuperseded: boolean;
  /** Whether a gateway is there, and will tell of what is open. */
  isPresent: (gateway: string) => boolean;
  /** Something is missing of what its gateways have told. */
  isPartial: boolean;
}

/** How a turn ended, or after how many milliseconds it has to be judged again if nothing comes. */
export type Verdict = { ended: string } | { openMs: number };

/** The client goes on after these: with the tools' results, or to let the model continue. */
const CONTINUING = new Set(['tool_use', 'pause_turn']);

/** How a turn stands whose newest call this is: a stop reason, `interrupted`, `error`; undefined while it goes on. */
export function outcomeOf({ endReason, stopReason }: Pick<Call, 'endReason' | 'stopReason'>): string | undefined {
  if (endReason === undefined) return undefined;
  if (endReason === 'client_closed') return 'interrupted';
  if (endReason !== 'complete') return 'error';
  return CONTINUING.has(stopReason ?? '') ? undefined : (stopReason ?? 'unknown');
}

/** A gateway that is there tells of each end; a call of which it has not told after this time is taken for lost. */
const MAX_OPEN_MS = 12 * 60 * 60 * 1_000;
/** How soon it is noticed that a gateway has died with an open call. */
const LOOK_MS = 10_000;
/** What a killed replica was given comes again within 8 s; what is missing after this time is lost. */
const MAX_PARTIAL_MS = 15_000;
const PARTIAL_LOOK_MS = 1_000;
/** A client that lost its connection, and was not stopped, has asked again by then: the SDK waits for up to 8 s. */
const RECONNECT_MS = 10_000;

/**
 * Says whether a turn has ended.
 *
 * The newest main answer decides, once nothing of the turn's work is open: a Stop hook may let the client go on after a
 * final answer, a client repeats what failed, and subagents in the background outlive the answer. What the user does
 * next ends the waiting for what the client may do, and silence ends all of it; but an answer may stream for as long as
 * its gateway lives, and a tool may wait for a person's permission.
 *
 * @example
 * judge(turn, { quietMs: 2_000, isSuperseded: false, isPresent: () => true, isPartial: false }, limits); // { ended: 'end_turn' }
 */
export function judge(turn: Turn, standing: Standing, limits: TurnLimits): Verdict {
  const { quietMs, isSuperseded, isPresent, isPartial } = standing;
  const { graceMs, idleMs, toolIdleMs } = limits;
  const newest = turn.calls.findLast((call) => call.class === 'main');
  const outcome = newest && outcomeOf(newest);
  const isOpen = turn.calls.some((call) => isWorking(call.class) && isUnderWay(call, isPresent));
  const silenceMs = isOpen ? MAX_OPEN_MS : isToolAwaited(turn) ? toolIdleMs : idleMs;
  const after = (ms: number, reason: string): Verdict =>
    quietMs >= ms ? { ended: reason } : { openMs: Math.min(ms, silenceMs) - quietMs };
  const goingOn: Verdict = { openMs: silenceMs - quietMs };

  if (quietMs >= silenceMs) return { ended: outcome ?? 'abandoned' };
  if (isPartial && quietMs < MAX_PARTIAL_MS) return { openMs: PARTIAL_LOOK_MS };
  if (isOpen) return openVerdict(quietMs, outcome !== undefined || isSuperseded, idleMs);
  const isAnswered = outcome !== undefined && outcome !== 'error' && outcome !== 'interrupted';
  // In the background: what it still does is this turn's, whatever the session goes on with.
  if (isAnswered && isAnyAgentAtWork(turn)) return goingOn;
  if (isSuperseded) return { ended: outcome ?? 'interrupted' };
  if (wasStopped(turn, newest)) return after(graceMs, isAnswered ? outcome : 'interrupted');
  if (outcome === undefined) return goingOn;
  return after(waitOf(outcome, limits), outcome);
}

/** What broke off comes again, if it does: the client's network may be to blame as well as the user. */
function waitOf(outcome: string, { graceMs, retryMs }: TurnLimits): number {
  if (outcome === 'error') return retryMs;
  return outcome === 'interrupted' ? Math.max(graceMs, Math.min(retryMs, RECONNECT_MS)) : graceMs;
}

/**
 * The turn with its end. Auxiliary calls that are still open are left out: each is told of by itself when it ends.
 *
 * @param reason as `judge` gave it
 */
export function endTurn(turn: Turn, reason: string): Turn {
  const calls = turn.calls.filter((call) => isWorking(call.class) || call.endedAt !== undefined);
  const newest = calls.findLast((call) => call.class === 'main');
  const errorType = newest?.errorType ?? newest?.endReason;
  return { ...turn, calls, endReason: reason, ...(reason === 'error' && errorType !== undefined && { errorType }) };
}

/** Says whether an exchange outside of any turn is over; its parts may still be on their way for the grace. */
export function judgeLoose(
  { calls }: Turn,
  { quietMs, isPresent, isPartial }: Omit<Standing, 'isSuperseded'>,
  { graceMs, idleMs }: TurnLimits,
): Verdict {
  const isEnded = calls.every(({ endedAt }) => endedAt !== undefined);
  const isOpen = calls.some((call) => isUnderWay(call, isPresent));
  const ms = isEnded ? graceMs : isOpen ? MAX_OPEN_MS : idleMs;
  if (isPartial && quietMs < Math.min(MAX_PARTIAL_MS, idleMs)) return { openMs: PARTIAL_LOOK_MS };
  if (quietMs >= ms) return { ended: 'complete' };
  return isOpen ? openVerdict(quietMs, false, idleMs) : { openMs: ms - quietMs };
}

/** Nobody tells that a gateway has died: it is looked for, soon where nothing else keeps a turn open. */
function openVerdict(quietMs: number, isAlone: boolean, idleMs: number): Verdict {
  return { openMs: isAlone || quietMs >= idleMs ? Math.min(LOOK_MS, idleMs) : idleMs - quietMs };
}

function isUnderWay({ endedAt, gateway }: Call, isPresent: Standing['isPresent']): boolean {
  return endedAt === undefined && isPresent(gateway);
}

/** The newest answer of the conversation, or of one of its agents, asked for a tool. */
function isToolAwaited({ agents, calls }: Turn): boolean {
  const conversations = [undefined, ...agents.map(({ id }) => id)];
  return conversations.some((agent) => {
    const newest = calls.findLast(({ agentId, class: kind }) => agentId === agent && isWorking(kind));
    return newest?.endReason === 'complete' && newest.stopReason === 'tool_use';
  });
}

/** The user stopped it, and it did not go on. */
function wasStopped({ interruptedAt }: Turn, newest: Call | undefined): boolean {
  return interruptedAt !== undefined && (newest?.startedAt ?? 0) <= interruptedAt;
}

/** A subagent whose newest answer asked for a tool will be heard of again. */
function isAnyAgentAtWork({ agents, calls }: Turn): boolean {
  return agents.some(({ id }) => {
    const newest = calls.findLast(({ agentId }) => agentId === id);
    return newest !== undefined && outcomeOf(newest) === undefined;
  });
}
