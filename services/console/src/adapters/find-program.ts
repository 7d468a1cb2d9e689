import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

/** The file that a name stands for, as a shell finds it: by PATH, or as a path where it holds a slash. */
export function findProgram(name: string, environment: NodeJS.ProcessEnv): string | undefined {
  if (name.includes('/')) return isProgram(resolve(name)) ? resolve(name) : undefined;
  const folders = (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Not there, or not to be run: the next folder may have one.
    return false;
  }
}
