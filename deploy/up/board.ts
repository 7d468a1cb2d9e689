import { styleText } from 'node:util';
import { inert } from '@loom/shared/plain.ts';

const COLOURS = ['cyan', 'magenta', 'yellow', 'blue', 'green', 'red'] as const;

/** Writes the lines of many programs to one terminal, each with its name in front, as text that does nothing. */
export interface Board {
  write(name: string, line: string): void;
}

/**
 * Opens a board; names get a column as wide as the longest and a colour each, where the stream is a terminal that
 * shows colours (`NO_COLOR` is heeded).
 *
 * @example
 * openBoard(['redis', 'gateway'], process.stdout).write('redis', 'ready'); // 'redis   │ ready'
 */
export function openBoard(names: string[], stream: NodeJS.WritableStream): Board {
  const width = Math.max(...names.map((name) => name.length));
  return {
    write(name, line) {
      const colour = COLOURS[names.indexOf(name) % COLOURS.length] ?? 'white';
      stream.write(`${styleText(colour, `${name.padEnd(width)} │`, { stream })} ${inert(line)}\n`);
    },
  };
}
