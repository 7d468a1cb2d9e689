import { appendFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { WakeUps } from '../../src/adapters/wake-ups.ts';

let root: string;
let wakeUps: WakeUps;
const woken: string[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'loom-wake-'));
  wakeUps = new WakeUps(root, (owner, file) => woken.push(`${owner} ${file}`));
});
afterEach(async () => {
  wakeUps.close();
  woken.length = 0;
  await rm(root, { recursive: true });
});

/** Sets the wishes, and forgets the wake-ups that say that they have begun. */
async function set(owner: string, files: string[], folders: string[] = []): Promise<void> {
  wakeUps.set(owner, { files, folders });
  await until(() => [...files, ...folders].every((file) => woken.includes(`${owner} ${file}`)));
  woken.length = 0;
}

describe('WakeUps', () => {
  test('wake for each new wish once it is heard, and for none twice', async () => {
    await mkdir(join(root, 'p'));
    wakeUps.set('s1', { files: ['p/a.jsonl'], folders: [] });
    wakeUps.set('s2', { files: ['p/b.jsonl'], folders: [] });
    await until(() => woken.length === 2);
    wakeUps.set('s1', { files: ['p/a.jsonl', 'p/c.jsonl'], folders: [] });
    await until(() => woken.length === 3);

    expect(woken).toEqual(['s1 p/a.jsonl', 's2 p/b.jsonl', 's1 p/c.jsonl']);
  });

  test('wake whoever wished for the file that changed', async () => {
    await mkdir(join(root, 'p'));
    await writeFile(join(root, 'p/a.jsonl'), '');
    await set('s1', ['p/a.jsonl']);
    await set('s2', ['p/b.jsonl']);

    await appendFile(join(root, 'p/b.jsonl'), '{}\n');
    await until(() => woken.length > 0);
    expect(new Set(woken)).toEqual(new Set(['s2 p/b.jsonl']));

    await rename(join(root, 'p/b.jsonl'), join(root, 'p/a.jsonl'));
    await until(() => woken.includes('s1 p/a.jsonl'));
  });

  test('wake for a file whose folder did not exist', async () => {
    await set('s1', ['p/a.jsonl']);

    await mkdir(join(root, 'p'));
    await writeFile(join(root, 'p/a.jsonl'), '{}\n');

    await until(() => woken.includes('s1 p/a.jsonl'));
  });

  test('wake for a new file in a folder', async () => {
    await mkdir(join(root, 'p/s1/subagents'), { recursive: true });
    await set('s1', [], ['p/s1/subagents']);

    await writeFile(join(root, 'p/s1/subagents/agent-a.jsonl'), '{}\n');

    await until(() => woken.includes('s1 p/s1/subagents/agent-a.jsonl'));
  });

  test('wake nobody whose wishes are gone', async () => {
    await mkdir(join(root, 'p'));
    await set('s1', ['p/a.jsonl']);
    await set('s2', ['p/b.jsonl']);
    wakeUps.delete('s1');
    await set('s3', ['p/c.jsonl']);

    await writeFile(join(root, 'p/a.jsonl'), '{}\n');
    await writeFile(join(root, 'p/c.jsonl'), '{}\n');

    await until(() => woken.includes('s3 p/c.jsonl'));
    expect(woken.filter((wake) => wake.startsWith('s1'))).toEqual([]);
  });
});
