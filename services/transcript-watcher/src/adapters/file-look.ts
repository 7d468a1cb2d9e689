import { lstat } from 'node:fs/promises';

/** What a file looks like from outside: it has not changed as long as this is the same. Never rejects. */
export function lookAt(path: string): Promise<string> {
  return lstat(path).then(
    ({ ino, size, mtimeMs, ctimeMs }) => `${ino} ${size} ${mtimeMs} ${ctimeMs}`,
    // Not there, or not to be looked at: both may change.
    (error: NodeJS.ErrnoException) => String(error.code),
  );
}
