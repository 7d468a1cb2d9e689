import { flushCompileCache } from 'node:module';
import { ConfigError } from './config.ts';

export interface MainOptions {
  /** The service's name. */
  name: string;
  /** What `--help` prints. */
  usage: string;
  /** Errors that the operator can mend, besides wrong settings: their message says all. */
  explained?: (new (
    ...args: never[]
  ) => Error)[];
}

/**
 * Runs the whole of a process. `--help` prints the usage and nothing is run; what keeps it from starting is said on
 * stderr, in one message where the operator can mend it, else with the stack; then it exits with 1.
 *
 * @example
 * await runMain({ name: 'scribe', usage: USAGE }, async () => {
 *   const config = loadConfig(Config, process.env);
 *   …
 * });
 */
export async function runMain({ name, usage, explained = [] }: MainOptions, main: () => Promise<void>): Promise<void> {
  if (process.argv.includes('--help') || process.argv.includes('-h')) {
    process.stdout.write(usage);
    return;
  }
  try {
    await main();
    // A process that is killed would leave nothing of it to the next one.
    flushCompileCache();
  } catch (error) {
    const isExplained = [ConfigError, ...explained].some((kind) => error instanceof kind);
    const shown = error instanceof Error ? (isExplained ? error.message : error.stack) : String(error);
    process.stderr.write(`${name}: ${shown}\n`);
    process.exit(1);
  }
}
