import { resolve } from 'node:path';
import { findProgram } from '../adapters/find-program.ts';
import { HOOK_SOURCE } from '../adapters/hook-file.ts';
import { runProgram } from '../adapters/run-program.ts';
import { decode, readIfThere, userSettingsPath } from '../adapters/settings-file.ts';
import { Complaint } from '../complaint.ts';
import { readConnection, sessionSettings } from '../core/settings.ts';
import { type ConnectionOptions, connectionOf, explained } from './connect.ts';

/**
 * `loom claude`: Claude Code by way of Loom, without a change to any file. The environment goes with `--settings` as
 * well, since the `env` of the user's own settings would outrank the process's.
 */
export function runClaude(words: readonly string[], options: ConnectionOptions & { bin: string }): Promise<void> {
  const { env: environment } = process;
  const file = findProgram(options.bin, environment);
  if (!file)
    throw new Complaint(
      `there is no ${options.bin} in PATH; install Claude Code, or name it: loom claude --bin <file>`,
    );
  if (words.some((word) => /^--settings(=|$)/.test(word)))
    throw new Complaint('loom claude passes --settings itself; connect that file: loom connect --settings <file>');
  const { secretFile } = options;
  if (secretFile !== undefined && !readIfThere(secretFile))
    throw new Complaint(`there is no secret at ${resolve(secretFile)}; loom connect makes one`);
  const connection = connectionOf(options, HOOK_SOURCE, environment);
  const settings = sessionSettings(connection, !isHooked(userSettingsPath(environment)));
  return runProgram(file, ['--settings', settings, ...words], { ...environment, ...connection.env });
}

/** With a hook of its own in the settings, a second one would put a second block into each prompt. */
function isHooked(path: string): boolean {
  const bytes = readIfThere(path);
  return bytes !== undefined && explained(path, () => readConnection(decode(bytes, path))).commands.length > 0;
}
