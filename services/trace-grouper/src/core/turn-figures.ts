import { billedModel, costOf, modelName, type Prices } from './prices.ts';
import type { Call, ToolUse } from './turn.ts';

/** What calls cost, by what it is charted by. */
export interface Charge {
  model: string;
  class: Call['class'];
  usd: number;
}

/** What each call cost whose price is known. */
export function chargesOf(calls: readonly Call[], prices: Prices): Charge[] {
  return calls.flatMap((call) => {
    const model = billedModel(call);
    const cost = call.usage && costOf(call.usage, model, prices);
    // Only names of the price table get here: there are not many.
    return cost ? [{ model: modelName(model ?? ''), class: call.class, usd: cost.total }] : [];
  });
}

/** The client's own tools; those of others are of any name. */
const TOOLS = new Set(
  [
    'Agent AskUserQuestion Bash BashOutput Edit EnterPlanMode ExitPlanMode Glob Grep KillShell LSP MultiEdit NotebookEdit',
    'Read Skill SlashCommand Task TaskCreate TaskGet TaskList TaskOutput TaskStop TaskUpdate TodoWrite ToolSearch WebFetch',
    'WebSearch Workflow Write',
  ].flatMap((names) => names.split(' ')),
);

/** A tool's name as charts have it: the client's own by name, else `mcp` or `other`. */
export function chartedTool({ name }: Pick<ToolUse, 'name'>): string {
  return TOOLS.has(name) ? name : name.startsWith('mcp__') ? 'mcp' : 'other';
}
