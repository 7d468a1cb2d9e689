import { agentSpanIdOf, turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { ATTRIBUTE } from './attribute.ts';
import { finishSpan, named } from './render.ts';
import type { SpanData } from './span-data.ts';
import { toolSpanIdOf } from './tool-span.ts';
import type { Agent, Turn } from './turn.ts';

/** An agent and where it hangs. */
export interface PlacedAgent {
  agent: Agent;
  spanId: string;
  parentSpanId: string;
}

/**
 * Where each agent hangs: under the tool use that started it, else under its parent agent, else under the turn. Only an
 * agent that started earlier can be above another: what a client says of parents must never become a circle.
 */
export function placeAgents(turn: Turn): Map<string, PlacedAgent> {
  const { traceId, rootSpanId } = turn;
  const placed = new Map<string, PlacedAgent>();
  for (const agent of turn.agents.toSorted((a, b) => a.startedAt - b.startedAt)) {
    const use = turn.tools.find(({ id }) => id === agent.toolUseId);
    const isAbove = use && (use.agentId === undefined || placed.has(use.agentId));
    const parentSpanId = isAbove
      ? toolSpanIdOf(turn, use.id)
      : (placed.get(agent.parentId ?? '')?.spanId ?? turnSpanIdOf(traceId, rootSpanId));
    placed.set(agent.id, { agent, spanId: agentSpanIdOf(traceId, rootSpanId, agent.id), parentSpanId });
  }
  return placed;
}

/** The span of a subagent's whole work. */
export function agentSpan(turn: Turn, { agent, spanId, parentSpanId }: PlacedAgent): SpanData {
  const name = named(agent.type ?? agent.id);
  return finishSpan({
    traceId: turn.traceId,
    spanId,
    parentSpanId,
    name: `invoke_agent ${name}`,
    startedAt: agent.startedAt,
    endedAt: agent.endedAt,
    attributes: {
      [ATTRIBUTE.spanKind]: 'AGENT',
      [ATTRIBUTE.sessionId]: turn.session,
      [ATTRIBUTE.turn]: turn.key,
      [ATTRIBUTE.operation]: 'invoke_agent',
      [ATTRIBUTE.provider]: 'anthropic',
      [ATTRIBUTE.agentId]: named(agent.id),
      [ATTRIBUTE.agentName]: name,
      [ATTRIBUTE.agent]: named(agent.id),
      [ATTRIBUTE.conversation]: turn.session,
    },
  });
}
