import type { Told } from './conversation.ts';
import type { ShownSession, ShownSpan } from './phoenix-api.ts';

/** One thing that was told, and how it is shown. */
export interface Check {
  what: string;
  told: unknown;
  shown: unknown;
}

/** Compares what Phoenix shows with what was told: a check holds where both are deeply equal. */
export function checksOf(told: Told, shown: ShownSession): Check[] {
  return [
    { what: 'traces of the session', told: told.turns.length, shown: shown.traces.length },
    { what: "the session's first input", told: told.turns[0]?.prompt, shown: shown.firstInput?.value },
    { what: "the session's last output", told: told.turns.at(-1)?.answer, shown: shown.lastOutput?.value },
    { what: 'tokens of all prompts', told: told.tokens.prompt, shown: shown.tokenUsage.prompt },
    { what: 'tokens of all answers', told: told.tokens.completion, shown: shown.tokenUsage.completion },
    {
      what: "cost, USD: Loom's and Phoenix's",
      told: usd(costOf(shown)),
      shown: usd(shown.costSummary.total.cost ?? 0),
    },
    { what: 'whether it cost anything', told: true, shown: costOf(shown) > 0 },
    ...told.turns.flatMap((turn, at) => turnChecks(told, turn, shown, at)),
  ];
}

function turnChecks(told: Told, turn: Told['turns'][number], shown: ShownSession, at: number): Check[] {
  const spans = shown.traces[at]?.spans ?? [];
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const [root, ...others] = spans.filter(({ parentId }) => parentId === null || !ids.has(parentId));
  const of = (kind: string) => spans.filter(({ spanKind }) => spanKind === kind);
  const name = `turn ${at + 1}`;
  const byName = <Named extends { name: string }>(list: Named[]) => list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return [
    {
      what: `${name} has one root`,
      told: [`user-turn:${told.session}`],
      shown: [root, ...others].map((one) => one?.name),
    },
    { what: `${name}, input of the root`, told: turn.prompt, shown: root?.input?.truncatedValue },
    { what: `${name}, output of the root`, told: turn.answer, shown: root?.output?.truncatedValue },
    { what: `${name}, calls`, told: turn.calls, shown: of('llm').length },
    {
      what: `${name}, calls that show their answer`,
      told: turn.calls,
      shown: of('llm').filter((span) => messagesOf(span, 'output_messages').length === 1).length,
    },
    {
      what: `${name}, tools with arguments and results`,
      told: byName(turn.tools),
      shown: byName(
        of('tool').map(({ name: tool, input, output }) => ({
          name: tool.replace('execute_tool ', ''),
          input: JSON.parse(input?.truncatedValue ?? 'null'),
          result: output?.truncatedValue,
        })),
      ),
    },
    {
      what: `${name}, results in the next call`,
      told: turn.tools.map(({ result }) => result).sort(),
      shown: of('llm')
        .flatMap((span) => messagesOf(span, 'input_messages'))
        .flatMap(({ role, content }) => (role === 'tool' ? [content] : []))
        .sort(),
    },
    {
      what: `${name}, subagents under the tool that started them`,
      told: turn.tools.filter(({ name: tool }) => tool === 'Task').map(() => 'execute_tool Task'),
      shown: of('agent')
        .filter(({ name: agent }) => agent.startsWith('invoke_agent '))
        .map(({ parentId }) => spans.find(({ spanId }) => spanId === parentId)?.name),
    },
  ];
}

interface ShownMessage {
  role?: string;
  content?: string;
}

function messagesOf({ attributes }: ShownSpan, field: 'input_messages' | 'output_messages'): ShownMessage[] {
  const messages = (attributes['llm'] as Record<string, { message: ShownMessage }[]> | undefined)?.[field];
  return (messages ?? []).map(({ message }) => message);
}

function costOf({ traces }: ShownSession): number {
  const costs = traces
    .flatMap(({ spans }) => spans)
    .map(({ attributes }) => attributes['operation'] as { cost?: number });
  return costs.reduce((sum, operation) => sum + (operation?.cost ?? 0), 0);
}

const usd = (cost: number) => cost.toFixed(6);
