import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { findServices, ServiceFolderError } from '../up/services.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'loom-services-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function addFolder(name: string, scripts?: Record<string, string>): void {
  mkdirSync(join(folder, name));
  writeFileSync(join(folder, name, 'package.json'), JSON.stringify({ name, ...(scripts && { scripts }) }));
}

describe('findServices', () => {
  test('finds each folder with a start script, by name', () => {
    addFolder('gateway', { start: 'node --import @loom/shared/instrument.ts src/main.ts' });
    addFolder('compact-rewriter', { start: 'node  src/main.ts' });
    addFolder('notes');
    addFolder('library', { build: 'make' });

    expect(findServices(folder)).toEqual([
      { name: 'compact-rewriter', folder: join(folder, 'compact-rewriter'), command: ['node', 'src/main.ts'] },
      {
        name: 'gateway',
        folder: join(folder, 'gateway'),
        command: ['node', '--import', '@loom/shared/instrument.ts', 'src/main.ts'],
      },
    ]);
  });

  test('refuses a script that needs a shell', () => {
    addFolder('gateway', { start: 'PORT=$PORT node src/main.ts' });

    expect(() => findServices(folder)).toThrow(
      new ServiceFolderError(
        `expected a plain command line as start script of ${join(folder, 'gateway/package.json')}, got PORT=$PORT node src/main.ts`,
      ),
    );
  });

  test('says when there is nothing to start', () => {
    expect(() => findServices(folder)).toThrow(
      new ServiceFolderError(`expected folders with a start script in ${folder}, found none`),
    );
  });
});
