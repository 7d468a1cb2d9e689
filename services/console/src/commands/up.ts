import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../adapters/run-program.ts';
import { Complaint } from '../complaint.ts';

const UP = join(import.meta.dirname, '../../../../deploy/up.ts');

/** `loom up`: what `make up` does, from any folder, with the Node that runs this. */
export async function runUp(words: readonly string[]): Promise<void> {
  const { WATCHERS } = process.env;
  const scale = WATCHERS ? ['--scale', `transcript-watcher=${WATCHERS}`] : [];
  if (!existsSync(UP)) throw new Complaint('make install has made services of it: systemctl start loom.target');
  await runProgram(process.execPath, [UP, ...scale, ...words], process.env);
}
