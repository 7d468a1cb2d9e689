import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));
const compiled = await mkdtemp(join(tmpdir(), 'loom-compiled-'));
afterAll(() => rm(compiled, { recursive: true }));

describe('runMain', () => {
  test('leaves to the next start what Node has compiled, also when its process is killed once it runs', async () => {
    const script = `
      const { runMain } = await import('@loom/shared/run-main.ts');
      await runMain({ name: 'scribe', usage: '' }, async () => {});
      process.stdout.write('runs');
      setInterval(() => {}, 1_000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: FOLDER,
      env: { ...PASSED_ON, NODE_COMPILE_CACHE: compiled },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;

    const files = (await readdir(compiled, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    expect(files.length).toBeGreaterThan(0);
  });
});
