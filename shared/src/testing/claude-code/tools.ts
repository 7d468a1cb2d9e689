import type { ClientVersion } from './release.ts';

interface Tool {
  name: string;
  description: string;
  input_schema: object;
  defer_loading?: boolean;
}

function tool(name: string, description: string, ...required: string[]): Tool {
  const properties = Object.fromEntries(required.map((property) => [property, { type: 'string' }]));
  return { name, description, input_schema: { type: 'object', properties, required, additionalProperties: false } };
}

/** The only tool that 1.0 and 2.0 offer while they summarise. */
export const READ = tool('Read', 'Reads a file. The path is absolute; long lines are cut.', 'file_path');

const TOOLS = [
  tool('Task', 'Gives a task to an agent that works on its own and reports once.', 'description', 'prompt'),
  tool('Bash', 'Runs a command in a shell that keeps its folder between calls.', 'command', 'description'),
  tool('Grep', 'Finds lines that match a regular expression.', 'pattern', 'path'),
  READ,
  tool('Edit', 'Replaces a text that occurs exactly once in a file.', 'file_path', 'old_string', 'new_string'),
];

/** A few tools of our own; 2.1.330 has a search for the ones that it does not load at once. */
export function toolsOf(version: ClientVersion): Tool[] {
  if (version !== '2.1.330') return TOOLS;
  return [
    ...TOOLS,
    tool('ToolSearch', 'Finds tools that are not loaded yet.', 'query'),
    { ...tool('Deferred', 'Stands for the tools that are loaded when they are found.'), defer_loading: true },
  ];
}

/** What a subagent gets: everything but the means to start another one. */
export function subagentTools(version: ClientVersion): Tool[] {
  return toolsOf(version).filter(({ name }) => name !== 'Task');
}
