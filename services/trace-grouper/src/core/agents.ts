import type { CallOf } from './calls.ts';
import { saidIn } from './said.ts';
import type { Agent, ToolUse } from './turn.ts';

/** The tools by which a conversation starts another. */
const STARTING = new Set(['Task', 'Agent', 'Skill', 'Workflow']);

/** The subagents of a turn, by their first request, each with the tool use that started it where exactly one can be. */
export function agentsOf(calls: readonly CallOf[], tools: readonly ToolUse[]): Agent[] {
  const own = Map.groupBy(
    calls.filter(({ call }) => call.agentId !== undefined),
    ({ call }) => call.agentId as string,
  );
  const agents = [...own].map(([id, of]) => ({ agent: agentOf(id, of), first: of[0] as CallOf }));
  const asked = new Map(calls.flatMap(({ call }) => inputsOf(call.captured?.output)));
  const starts = new Map(agents.map(({ agent, first }) => [agent.id, startOf(agent, first, tools, asked)]));
  return agents.map(({ agent }) => {
    const toolUseId = starts.get(agent.id);
    // A tool use starts one agent: where two fit it, neither is known to be the one.
    const isSure = [...starts.values()].filter((id) => id === toolUseId).length === 1;
    return { ...agent, ...(toolUseId !== undefined && isSure && { toolUseId }) };
  });
}

function agentOf(id: string, of: readonly CallOf[]): Agent {
  const facts = of.flatMap(({ exchange: { received, forwarded } }) => [received?.data, forwarded?.data]);
  const type = facts.find((data) => data?.agentType !== undefined)?.agentType;
  const parentId = facts.find((data) => data?.parentAgentId !== undefined)?.parentAgentId;
  return {
    id,
    ...(type !== undefined && { type }),
    ...(parentId !== undefined && { parentId }),
    startedAt: Math.min(...of.map(({ call }) => call.startedAt)),
    endedAt: Math.max(...of.map(({ call }) => call.endedAt ?? call.startedAt)),
  };
}

interface Input {
  subagent_type?: unknown;
  prompt?: unknown;
}

/** By the conversation that asked and by time; of several, by type; of several of a type, by what the agent was told. */
function startOf(
  agent: Agent,
  first: CallOf,
  tools: readonly ToolUse[],
  asked: ReadonlyMap<string, Input>,
): string | undefined {
  const inTime = tools.filter(
    (tool) =>
      STARTING.has(tool.name) &&
      tool.agentId === agent.parentId &&
      tool.startedAt <= agent.startedAt &&
      agent.startedAt <= tool.endedAt,
  );
  const ofType = narrow(inTime, ({ id }) => asked.get(id)?.subagent_type === agent.type);
  const told = saidIn(first.call.captured?.input);
  const withPrompt = narrow(ofType, ({ id }) => {
    const prompt = asked.get(id)?.prompt;
    return typeof prompt === 'string' && prompt !== '' && told.includes(prompt);
  });
  return withPrompt.length === 1 ? withPrompt[0]?.id : undefined;
}

/** Those that fit, where there is a choice and any fits. */
function narrow(tools: ToolUse[], fits: (tool: ToolUse) => boolean): ToolUse[] {
  const fitting = tools.length > 1 ? tools.filter(fits) : [];
  return fitting.length > 0 ? fitting : tools;
}

function inputsOf(output: readonly { type: string; [field: string]: unknown }[] = []): [string, Input][] {
  return output.flatMap(({ type, id, input }): [string, Input][] =>
    type === 'tool_use' && typeof id === 'string' && typeof input === 'object' && input !== null ? [[id, input]] : [],
  );
}
