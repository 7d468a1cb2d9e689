import { plain } from '@loom/shared/plain.ts';
import { CommanderError } from 'commander';
import { createProgram } from './program.ts';

/** The exit code for words that make no command. */
const MISUSE = 2;

/** By name, so that what throws them need not be loaded. */
const EXPLAINED = ['Complaint', 'ConfigError'];

/** Runs the command that these words make, on this process's streams and environment; sets its exit code. */
export async function runCommand(words: string[]): Promise<void> {
  try {
    await createProgram().parseAsync(words, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      // It has said what is wrong with the words.
      process.exitCode = error.exitCode === 0 ? 0 : MISUSE;
    } else {
      process.stderr.write(`loom: ${describe(error)}\n`);
      process.exitCode = 1;
    }
  }
}

/** One line where the operator can mend it; of a bug, where it happened. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return EXPLAINED.includes(error.name) ? plain(error.message) : (error.stack ?? error.message);
}
