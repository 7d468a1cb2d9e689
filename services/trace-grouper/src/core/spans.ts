import { turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { agentSpan, placeAgents } from './agent-span.ts';
import { chatSpan } from './chat-span.ts';
import { lostSpans } from './lost-spans.ts';
import type { RenderOptions } from './render.ts';
import type { SpanData } from './span-data.ts';
import { toolSpan } from './tool-span.ts';
import type { Call, Turn } from './turn.ts';
import { rootSpans, turnSpan } from './turn-span.ts';

/**
 * The spans of a turn that nobody else exports, parents first: the root and `collect-metadata` (unless the hook sends
 * its own), `turn`, a `chat` for each call, `execute_tool` and `invoke_agent`. Gateways export the request spans
 * (`Call.spanId`), under `turn` or under their agent; chats hang under them. The ids follow from the turn's own, so
 * that a turn which is exported twice is the same spans twice.
 *
 * @param lost the calls whose gateway was killed with their spans: these are made here
 *
 * @example
 * spansOf(turn, { prices, capture: 'delta', prefix: 'loom' }).map(({ name }) => name);
 * // ['user-turn:4f2e…', 'collect-metadata', 'turn', 'chat claude-opus-5-5', 'execute_tool Bash', …]
 */
export function spansOf(turn: Turn, options: RenderOptions, lost: readonly Call[] = []): SpanData[] {
  const { traceId, session, key, profile } = turn;
  const agents = placeAgents(turn);
  const above = (agentId?: string) => agents.get(agentId ?? '')?.spanId ?? turnSpanIdOf(traceId, turn.rootSpanId);
  const opening = turn.calls.find((call) => call.class === 'main');

  return [
    ...rootSpans(turn, options),
    turnSpan(turn, options),
    ...agents.values().map((placed) => agentSpan(turn, placed)),
    ...turn.calls.flatMap((call) => {
      const prompt = call === opening ? turn.prompt : null;
      const place = { traceId, session, turn: key, profile, prompt, endedBy: endedBy(turn, call) };
      return [
        ...(lost.includes(call) ? lostSpans(call, place, options) : []),
        chatSpan(call, place, options) ?? [],
      ].flat();
    }),
    ...turn.tools.map((use) => toolSpan(turn, use, above(use.agentId), options)),
  ];
}

/**
 * The spans of exchanges that belong to no turn, each a trace of its own with the gateway's request span as its root; or
 * to one that has ended without them.
 *
 * @param lost as `spansOf` has it
 *
 * @example
 * exchangeSpans(turn, { prices, capture: 'delta', prefix: 'loom' }); // one chat, or none
 */
export function exchangeSpans(turn: Turn, options: RenderOptions, lost: readonly Call[] = []): SpanData[] {
  const { traceId, session, key, profile, origin } = turn;
  const agents = origin === 'none' ? [] : placeAgents(turn).values();
  return [
    // The turn may have ended before its agent was heard of.
    ...agents.map((placed) => agentSpan(turn, placed)),
    ...turn.calls.flatMap((call) => {
      const place = {
        traceId,
        session,
        profile,
        endedBy: endedBy(turn, call),
        ...(origin !== 'none' && { turn: key }),
      };
      const made = lost.includes(call) ? lostSpans(call, place, options) : [];
      return [...made, chatSpan(call, place, options) ?? []].flat();
    }),
  ];
}

/** Whoever repeats a request has given the first one up. */
function endedBy(turn: Turn, { requestId }: Call): number {
  return turn.calls.find(({ retryOf }) => retryOf === requestId)?.startedAt ?? turn.endedAt;
}
