import { join } from 'node:path';
import { runProgram } from '../adapters/run-program.ts';

const ROOT = join(import.meta.dirname, '../../../..');

/** `loom up`: what `make up` does, from any folder, with the Node that runs this. */
export function runUp(words: readonly string[]): Promise<void> {
  const { WATCHERS } = process.env;
  const scale = WATCHERS ? ['--scale', `transcript-watcher=${WATCHERS}`] : [];
  return runProgram(process.execPath, [join(ROOT, 'deploy/up.ts'), ...scale, ...words], process.env);
}
