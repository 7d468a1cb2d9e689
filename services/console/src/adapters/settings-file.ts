import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { Complaint } from '../complaint.ts';

/** Of a file and a folder that are made here: settings may hold keys. */
const FILE_MODE = 0o600;
export const FOLDER_MODE = 0o700;
const ANY_MAY_WRITE = 0o222;

/** The client's settings of the user; its own CLAUDE_CONFIG_DIR is heeded. */
export function userSettingsPath(environment: NodeJS.ProcessEnv): string {
  return join(environment['CLAUDE_CONFIG_DIR'] || join(homedir(), '.claude'), 'settings.json');
}

/** Where a file really is: links are followed, also one to a file or into a folder that is yet to be. */
export function realPathOf(path: string): string {
  const absolute = resolve(path);
  if (statSync(absolute, { throwIfNoEntry: false })) return realpathSync(absolute);
  const isLink = lstatSync(absolute, { throwIfNoEntry: false })?.isSymbolicLink();
  if (isLink) return realPathOf(resolve(dirname(absolute), readlinkSync(absolute)));
  return absolute === dirname(absolute) ? absolute : join(realPathOf(dirname(absolute)), basename(absolute));
}

/**
 * The settings that a command is about.
 *
 * @param named by the operator; else the user's own
 * @throws Complaint where they are a project's: those travel with its repository, and would send whoever clones it here
 */
export function settingsPath(named: string | undefined, environment: NodeJS.ProcessEnv): string {
  const own = realPathOf(userSettingsPath(environment));
  const path = named === undefined ? own : realPathOf(named);
  if (path !== own && basename(dirname(path)) === '.claude')
    throw new Complaint(`${path} is a project's; Loom connects a user's settings, and CLAUDE_CONFIG_DIR says whose`);
  return path;
}

/**
 * The bytes of a file; undefined when there is none.
 *
 * @throws Complaint when it cannot be read
 */
export function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new Complaint(`cannot read ${path}: ${code}`, { cause: error });
  }
}

/**
 * Bytes as text that can be written back to the very same bytes.
 *
 * @throws Complaint when they are no UTF-8
 */
export function decode(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new Complaint(`expected UTF-8 in ${path}; nothing was changed`, { cause: error });
  }
}

/**
 * Writes a file in one step, with the mode and the owner of the one that it replaces, or for its owner alone.
 *
 * @returns whether its folder was made for it
 * @throws Complaint when that is refused, or the file is read-only; the old file is then still there
 */
export function writeWhole(path: string, content: string | Buffer, mode = FILE_MODE): boolean {
  const draft = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const made = mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
    const old = requireWritable(path);
    writeFileSync(draft, content, { mode, flag: 'wx' });
    if (old) takeOver(draft, old);
    renameSync(draft, path);
    return made !== undefined;
  } catch (error) {
    rmSync(draft, { force: true });
    if (error instanceof Complaint) throw error;
    throw new Complaint(`cannot write ${path}: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
}

/**
 * To replace a file, its folder would be enough; but whoever made it read-only does not want that.
 *
 * @returns what is known of the file, if there is one
 * @throws Complaint
 */
export function requireWritable(path: string): Stats | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats && (stats.mode & ANY_MAY_WRITE) === 0) throw new Complaint(`${path} is read-only; nothing was changed`);
  return stats;
}

function takeOver(draft: string, { mode, uid, gid }: Stats): void {
  const own = statSync(draft);
  if (own.uid !== uid || own.gid !== gid) chownSync(draft, uid, gid);
  // After the owner, since a change of owner clears bits of the mode.
  chmodSync(draft, mode & 0o7777);
}
