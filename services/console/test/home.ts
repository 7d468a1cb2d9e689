import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from './loom.ts';

/** A home folder of the test's own, with what `loom` does in it. */
export function openHome() {
  const folder = mkdtempSync(join(tmpdir(), 'loom $home-'));
  return {
    folder,
    path: (name: string) => join(folder, name),
    write(name: string, content: string | Buffer, mode = 0o644): string {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content, { mode });
      return path;
    },
    loom: (words: string[], environment: NodeJS.ProcessEnv = {}) => run(words, { HOME: folder, ...environment }),
    close: () => rmSync(folder, { recursive: true }),
  };
}
