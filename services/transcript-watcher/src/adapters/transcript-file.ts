import type { BigIntStats } from 'node:fs';
import { constants, type FileHandle, lstat, open, readlink, realpath } from 'node:fs/promises';
import { isAbsolute, join, normalize } from 'node:path';
import type { DataOf } from '@loom/shared/event.ts';

export type RefusalReason = Exclude<DataOf<'transcript.refused'>['reason'], 'hint'>;

/** Something stands where a transcript would, and is not opened or not read. Its message names the path below the root. */
export class TranscriptRefusedError extends Error {
  override name = 'TranscriptRefusedError';
  readonly reason: RefusalReason;
  /** The system's code, where it was the system that refused. */
  readonly code?: string;

  constructor(file: string, reason: RefusalReason, code?: string) {
    super(`expected a transcript at ${JSON.stringify(file)}, got one that is ${reason}${code ? ` (${code})` : ''}`);
    this.reason = reason;
    if (code !== undefined) this.code = code;
  }
}

// Without NONBLOCK, opening a pipe that nobody writes to would wait for ever.
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/** How often a file that was replaced while it was opened is tried again. */
const ATTEMPTS = 3;

/**
 * Opens a transcript for reading: a regular file with one name, which ends in `.jsonl` and really stands where its path
 * below the root says. Anything else is not opened, or closed unread; nothing in here blocks. The root itself may be a
 * link.
 *
 * @param root `CLAUDE_DATA_DIR/projects`
 * @param file path below the root, such as `-home-alpha/3f….jsonl`
 * @returns undefined when there is none; close the handle
 * @throws TranscriptRefusedError
 */
export async function openTranscript(root: string, file: string): Promise<FileHandle | undefined> {
  refusePath(file);
  try {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      refuseKind(file, await lstat(join(root, file), { bigint: true }));
      const handle = await open(join(root, file), FLAGS);
      try {
        if (await standsThere(root, file, handle)) return handle;
      } catch (error) {
        await handle.close();
        throw error;
      }
      await handle.close();
    }
  } catch (error) {
    return absentOrRefused(file, error);
  }
  // Replaced each time that we looked: the next look will tell.
  return undefined;
}

/** Whether the path still names the file that was opened. */
export async function isStillThere(root: string, file: string, handle: FileHandle): Promise<boolean> {
  try {
    return isSame(await lstat(join(root, file), { bigint: true }), await handle.stat({ bigint: true }));
  } catch {
    // Gone, or not to be looked at any more: then it is not there.
    return false;
  }
}

/** The handle is of a plain file, and that file is what stands at the path: what was looked at is what was opened. */
async function standsThere(root: string, file: string, handle: FileHandle): Promise<boolean> {
  const opened = await handle.stat({ bigint: true });
  refuseKind(file, opened);
  const realRoot = await realpath(root);
  const real = await findRealPath(root, file, handle);
  if (real === join(realRoot, file)) return true;
  if (real === undefined || (await handle.stat()).nlink === 0) return false;
  throw new TranscriptRefusedError(file, real.startsWith(join(realRoot, '/')) ? 'linked' : 'outside');
}

/** Asks Linux about the handle: a folder that is swapped for a link and back can show any path a file of its own choice. */
async function findRealPath(root: string, file: string, handle: FileHandle): Promise<string | undefined> {
  try {
    return await readlink(`/proc/self/fd/${handle.fd}`);
  } catch {
    // Another system: there the path has to do, if it still names what was opened.
    const path = await realpath(join(root, file));
    return (await isStillThere(root, file, handle)) ? path : undefined;
  }
}

function refusePath(file: string): void {
  if (file.includes('\0') || isAbsolute(file) || normalize(file) !== file || file.startsWith('../')) {
    throw new TranscriptRefusedError(file, 'outside');
  }
  if (!file.endsWith('.jsonl')) throw new TranscriptRefusedError(file, 'irregular');
}

function refuseKind(file: string, stats: BigIntStats): void {
  if (stats.isSymbolicLink()) throw new TranscriptRefusedError(file, 'linked');
  if (!stats.isFile()) throw new TranscriptRefusedError(file, 'irregular');
  if (stats.nlink > 1n) throw new TranscriptRefusedError(file, 'linked');
}

function isSame(one: BigIntStats, other: BigIntStats): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}

function absentOrRefused(file: string, error: unknown): undefined {
  if (error instanceof TranscriptRefusedError) throw error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
  // Links where a file was a moment ago, or links in a circle.
  if (code === 'ELOOP') throw new TranscriptRefusedError(file, 'linked');
  // A socket.
  if (code === 'ENXIO') throw new TranscriptRefusedError(file, 'irregular');
  // No fault of the file.
  if (code === undefined || code === 'EMFILE' || code === 'ENFILE') throw error;
  throw new TranscriptRefusedError(file, 'unreadable', code);
}
