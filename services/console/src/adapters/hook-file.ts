import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from './find-program.ts';
import { readIfThere, writeWhole } from './settings-file.ts';

/** The hook as it lies in this checkout. */
export const HOOK_SOURCE = join(import.meta.dirname, '../../../prompt-hook/src/prompt-hook.mjs');

/** The oldest Node that runs the hook. */
const LEAST_NODE = 20;

/** Where the hook is copied to, so that the checkout may move: `$XDG_DATA_HOME/loom`. */
export function hookPath(environment: NodeJS.ProcessEnv): string {
  return join(environment['XDG_DATA_HOME'] || join(homedir(), '.local/share'), 'loom/prompt-hook.mjs');
}

/** Copies the hook to its place, where it is not there yet as it is here. */
export function installHook(environment: NodeJS.ProcessEnv): void {
  const hook = readFileSync(HOOK_SOURCE);
  const path = hookPath(environment);
  if (!readIfThere(path)?.equals(hook)) writeWhole(path, hook, 0o644);
}

/**
 * The command line that a client's shell runs the hook with: the `node` of the path where that is new enough, which
 * survives an update and a move of this checkout; else the one that runs this.
 */
export function hookCommand(path: string, environment: NodeJS.ProcessEnv): string {
  const node = findProgram('node', environment);
  const version = node && spawnSync(node, ['--version'], { encoding: 'utf8', timeout: 2_000 }).stdout;
  const isEnough = Number(/^v(\d+)/.exec(version ?? '')?.[1] ?? 0) >= LEAST_NODE;
  return `${isEnough ? 'node' : quoted(process.execPath)} ${quoted(path)}`;
}

function quoted(path: string): string {
  return `"${path.replace(/["$`\\]/g, '\\$&')}"`;
}
