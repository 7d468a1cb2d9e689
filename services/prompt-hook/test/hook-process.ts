import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { expect } from '@jest/globals';
import { Metadata } from '@loom/shared/metadata.ts';

export const HOOK = join(import.meta.dirname, '../src/prompt-hook.mjs');

/** What newer clients write; `session_id` and the like are of their form. */
export const INPUT = {
  session_id: '1f0a4b52-7c1d-4e0e-9d53-0d6a1f6a2b11',
  transcript_path: '/home/user/.claude/projects/-work-garden/1f0a4b52-7c1d-4e0e-9d53-0d6a1f6a2b11.jsonl',
  cwd: '/work/garden',
  prompt_id: '7b0b2c6e-3f52-4a8e-8a2c-9a4f5f1f7d20',
  permission_mode: 'default',
  hook_event_name: 'UserPromptSubmit',
  prompt: 'What grows behind the gate?',
};

/** The nodes that a client may start it with: this one, and the system's where that is another, by their versions. */
export const NODES = findNodes();

export interface HookRun {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the hook to its end, and to that of all that it leaves its output to; `input` is JSON unless it is bytes or text. */
export function runHook(
  input: object | string,
  environment: Record<string, string> = {},
  { node = process.execPath, file = HOOK, args = [] }: { node?: string; file?: string; args?: string[] } = {},
): HookRun {
  const stdin = typeof input === 'string' || Buffer.isBuffer(input) ? input : JSON.stringify(input);
  const run = spawnSync(node, [file, ...args], { input: stdin, env: environment, timeout: 60_000 });
  return { code: run.status, stdout: run.stdout.toString(), stderr: run.stderr.toString() };
}

/** The block that a run has printed, as a line and read; fails unless that is all that it has done. */
export function blockOf({ code, stdout, stderr }: HookRun): { line: string; block: Metadata } {
  expect([code, stderr]).toEqual([0, '']);
  const output = JSON.parse(stdout);
  const line = output.hookSpecificOutput?.additionalContext;
  expect(output).toEqual({
    hookSpecificOutput: { hookEventName: 'UserPromptSubmit', additionalContext: expect.any(String) },
  });
  return { line, block: Metadata.parse(JSON.parse(line)) };
}

function findNodes(): [version: string, node: string][] {
  const found = new Map([[realpathSync(process.execPath), process.version]]);
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const node = join(folder, 'node');
    if (!existsSync(node) || found.has(realpathSync(node))) continue;
    const version = execFileSync(node, ['--version']).toString().trim();
    if (Number.parseInt(version.slice(1), 10) >= 20) found.set(realpathSync(node), version);
  }
  return [...found].map(([node, version]) => [version, node]);
}
