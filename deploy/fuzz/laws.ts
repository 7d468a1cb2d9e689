import { readFileSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import { join } from 'node:path';

/** A test file, and about how many of its tests are laws. */
export interface LawFile {
  /** Below the repository. */
  file: string;
  laws: number;
}

/** The test files that hold a law to random cases, in the order of their names. */
export async function findLaws(root: string): Promise<LawFile[]> {
  const found: LawFile[] = [];
  const exclude = (name: string) => name.includes('node_modules') || name.endsWith('law.test.ts');
  for await (const file of glob('{services/*,shared,deploy}/test/**/*.test.ts', { cwd: root, exclude })) {
    const source = readFileSync(join(root, file), 'utf8');
    const laws = source.match(/\bholds\(/g)?.length ?? 0;
    // A table of cases has some four.
    if (laws > 0) found.push({ file, laws: /\.each\(/.test(source) ? laws * 4 : laws });
  }
  return found.sort((a, b) => (a.file < b.file ? -1 : 1));
}
