import { plain } from '@loom/shared/plain.ts';
import { CommanderError } from 'commander';
import { createProgram } from './program.ts';

/** The exit code for words that make no command. */
const MISUSE = 2;

/** By name, so that what throws them need not be loaded. */
const EXPLAINED = ['Complaint', 'ConfigError'];

// Ctrl-C is how a command that watches is ended; what it wrote is written, since a pipe and a terminal take it at once.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(0));
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe has seen enough (`loom events | head`).
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // It has said what is wrong with the words.
    process.exitCode = error.exitCode === 0 ? 0 : MISUSE;
  } else {
    process.stderr.write(`loom: ${describe(error)}\n`);
    process.exitCode = 1;
  }
}

/** One line where the operator can mend it; of a bug, where it happened. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return EXPLAINED.includes(error.name) ? plain(error.message) : (error.stack ?? error.message);
}
