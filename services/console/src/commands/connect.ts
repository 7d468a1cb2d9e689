import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { plain } from '@loom/shared/plain.ts';
import { isConfirmed } from '../adapters/confirm.ts';
import { type ConnectionRecord, ConnectionRecords, hashOf } from '../adapters/connection-record.ts';
import { hookCommand, hookPath, installHook } from '../adapters/hook-file.ts';
import { decode, readIfThere, requireWritable, settingsPath, writeWhole } from '../adapters/settings-file.ts';
import { screenOf } from '../adapters/terminal.ts';
import { Complaint } from '../complaint.ts';
import { formatDiff } from '../core/diff-page.ts';
import { JsonTextError } from '../core/json-text.ts';
import { masked } from '../core/masked.ts';
import { type Connection, connectionEnv, connectSettings, readConnection } from '../core/settings.ts';

/** How Claude Code is to reach Loom. */
export interface ConnectionOptions {
  url: string;
  profile?: string;
  secretFile?: string;
  longContext?: string;
}

export interface ConnectOptions extends ConnectionOptions {
  settings?: string;
  yes?: true;
  dryRun?: true;
}

const print = (line: string) => void process.stdout.write(`${line}\n`);

/** `loom connect`: shows what it would change in the user's settings, asks, keeps the old bytes, writes. */
export async function connect(options: ConnectOptions): Promise<void> {
  const { env: environment } = process;
  const settings = settingsPath(options.settings, environment);
  const connection = connectionOf(options, hookPath(environment), environment);
  const records = new ConnectionRecords(environment);
  const record = records.find(settings);
  const bytes = readIfThere(settings);
  const before = bytes ? decode(bytes, settings) : '';
  const { text: after, replacedCommand } = explained(settings, () => connectSettings(before, connection));

  if (after !== before) {
    for (const line of formatDiff(settings, before, after, screenOf(process.stdout, environment))) print(line);
    tellOfOther(before, connection, record);
    if (options.dryRun) return;
    if (!options.yes && !(await isConfirmed(`Change ${settings}?`, NOBODY))) return print('nothing was changed');
    requireSame(settings, bytes);
  }
  if (options.dryRun) return print(`${settings} is connected already`);
  if (after !== before) requireWritable(settings);
  installHook(environment);
  makeSecret(options.secretFile);
  if (after === before) return print(`${settings} is connected already`);

  const next: ConnectionRecord = {
    env: { ...record?.env, ...connection.env },
    command: connection.command,
    replacedCommand: record ? record.replacedCommand : replacedCommand,
    before: record ? record.before : bytes ? hashOf(bytes) : null,
    after: hashOf(after),
    // After a connect that was cut short the settings are still as they were before it.
    isEdited:
      record !== undefined && record.before !== hashOf(before) && (record.isEdited || record.after !== hashOf(before)),
    madeFolder: record?.madeFolder ?? false,
  };
  records.add(settings, next, record ? undefined : bytes);
  if (writeWhole(settings, after)) records.add(settings, { ...next, madeFolder: true });
  print(`connected ${settings}; sessions that start from now on come by way of ${plain(options.url)}`);
  print('undo it with: loom disconnect');
}

/** The connection that options ask for. */
export function connectionOf(options: ConnectionOptions, hook: string, environment: NodeJS.ProcessEnv): Connection {
  const { url, profile, secretFile, longContext } = options;
  const env = connectionEnv({
    url,
    ...(profile !== undefined && { profile }),
    ...(longContext !== undefined && { longContext }),
    ...(secretFile !== undefined && { secretFile: resolve(secretFile) }),
  });
  return { env, command: hookCommand(hook, environment) };
}

/**
 * Runs what reads settings.
 *
 * @throws Complaint that names the file, where they cannot be understood
 */
export function explained<T>(settings: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof JsonTextError)) throw error;
    throw new Complaint(`${settings}: ${error.message}; nothing was changed`, { cause: error });
  }
}

/**
 * Somebody may have written while the operator was asked.
 *
 * @throws Complaint
 */
function requireSame(settings: string, bytes: Buffer | undefined): void {
  const now = readIfThere(settings);
  if (bytes === undefined ? now !== undefined : !now?.equals(bytes))
    throw new Complaint(`${settings} was changed meanwhile; nothing was written, run it again`);
}

/** Makes the secret by which the gateway knows the hook's blocks from what somebody pastes, where there is none yet. */
function makeSecret(path: string | undefined): void {
  if (path === undefined || readIfThere(path)) return;
  writeWhole(resolve(path), `${randomBytes(32).toString('base64url')}\n`);
  print(`made a secret in ${resolve(path)}; the gateway takes it as LOOM_HOOK_SECRET="$(cat ${resolve(path)})"`);
}

function tellOfOther(before: string, { env }: Connection, record: ConnectionRecord | undefined): void {
  const other = readConnection(before).env['ANTHROPIC_BASE_URL'];
  if (other === undefined || other === env['ANTHROPIC_BASE_URL'] || other === record?.env['ANTHROPIC_BASE_URL']) return;
  const shown = plain(masked(other));
  print(
    `ANTHROPIC_BASE_URL is ${shown} now. Loom forwards to api.anthropic.com, and there only if LOOM_UPSTREAM_URL says so.`,
  );
}

const NOBODY = 'expected --yes to change the settings, since nobody can be asked here';
