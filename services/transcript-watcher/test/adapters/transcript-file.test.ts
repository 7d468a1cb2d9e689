import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { link, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { isStillThere, openTranscript, TranscriptRefusedError } from '../../src/adapters/transcript-file.ts';

const WITHOUT_HANDLES = fileURLToPath(new URL('../fixtures/without-handles.ts', import.meta.url));
const SWAP = fileURLToPath(new URL('../fixtures/swap.ts', import.meta.url));

let folder: string;
let root: string;
let outside: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loom-file-'));
  root = join(folder, 'projects');
  outside = join(folder, 'outside');
  await mkdir(join(root, '-a'), { recursive: true });
  await mkdir(outside);
  await writeFile(join(outside, 's.jsonl'), 'secret');
});
afterEach(() => rm(folder, { recursive: true }));

/** What the file says, `absent`, or why it was refused. */
async function open(file: string, at = root): Promise<string> {
  try {
    const handle = await openTranscript(at, file);
    if (!handle) return 'absent';
    const text = await handle.readFile('utf8');
    await handle.close();
    return text;
  } catch (error) {
    if (!(error instanceof TranscriptRefusedError)) throw error;
    return error.code ? `${error.reason} ${error.code}` : error.reason;
  }
}

describe('openTranscript', () => {
  test('opens a file where its path says', async () => {
    await writeFile(join(root, '-a/s.jsonl'), 'inside');
    await mkdir(join(root, '-a/s/subagents'), { recursive: true });
    await writeFile(join(root, '-a/s/subagents/agent-1.jsonl'), 'agent');
    await writeFile(join(root, '..s.jsonl'), 'dots');

    expect(await open('-a/s.jsonl')).toBe('inside');
    expect(await open('-a/s/subagents/agent-1.jsonl')).toBe('agent');
    expect(await open('..s.jsonl')).toBe('dots');
  });

  test('opens it below a root that is a link itself', async () => {
    await writeFile(join(root, '-a/s.jsonl'), 'inside');
    await symlink(root, join(folder, 'link'));

    expect(await open('-a/s.jsonl', join(folder, 'link'))).toBe('inside');
  });

  test('takes what does not exist yet, folders too, for absent', async () => {
    await writeFile(join(root, 'file'), '');

    expect(await open('-a/s.jsonl')).toBe('absent');
    expect(await open('-b/s.jsonl')).toBe('absent');
    expect(await open('file/s.jsonl')).toBe('absent');
    expect(await open('-a/s.jsonl', join(folder, 'nowhere'))).toBe('absent');
  });

  test.each([
    ['leads upwards', '../outside/s.jsonl', 'outside'],
    ['leads upwards and back', '-a/../../projects/-a/s.jsonl', 'outside'],
    ['is the parent', '..', 'irregular'],
    ['is absolute', '/etc/passwd', 'outside'],
    ['is a process’ own file', '/proc/self/environ', 'outside'],
    ['holds a NUL', '-a/a\0.jsonl', 'outside'],
    ['is empty', '', 'outside'],
    ['ends otherwise', '-a/s.json', 'irregular'],
    ['is longer than the system takes', `${'x'.repeat(300)}.jsonl`, 'unreadable ENAMETOOLONG'],
  ])('refuses a path that %s', async (_, file, reason) => {
    await writeFile(join(root, '-a/s.jsonl'), 'inside');
    await writeFile(join(root, '-a/s.json'), 'inside');

    expect(await open(file)).toBe(reason);
  });

  test.each([
    ['a file outside', '../../outside/s.jsonl'],
    ['a file inside', 'other.jsonl'],
    ['a device that never ends', '/dev/zero'],
    ['a process’ environment', '/proc/self/environ'],
    ['itself', 's.jsonl'],
    ['nothing', 'nowhere.jsonl'],
  ])('refuses a link to %s', async (_, target) => {
    await writeFile(join(root, '-a/other.jsonl'), 'inside');
    await symlink(target, join(root, '-a/s.jsonl'));

    expect(await open('-a/s.jsonl')).toBe('linked');
  });

  test('refuses a file with a second name', async () => {
    await link(join(outside, 's.jsonl'), join(root, '-a/s.jsonl'));

    expect(await open('-a/s.jsonl')).toBe('linked');
  });

  test('refuses what stands behind a folder that is a link, out of the root or within', async () => {
    await writeFile(join(root, '-a/s.jsonl'), 'inside');
    await symlink(outside, join(root, '-out'));
    await symlink(join(root, '-a'), join(root, '-in'));
    await mkdir(`${root}-sibling`);
    await writeFile(`${root}-sibling/s.jsonl`, 'secret');
    await symlink(`${root}-sibling`, join(root, '-sibling'));

    expect(await open('-out/s.jsonl')).toBe('outside');
    expect(await open('-in/s.jsonl')).toBe('linked');
    expect(await open('-sibling/s.jsonl')).toBe('outside');
  });

  test('refuses a folder', async () => {
    await mkdir(join(root, '-a/s.jsonl'));

    expect(await open('-a/s.jsonl')).toBe('irregular');
  });

  test('refuses a pipe that nobody writes to, without waiting for a writer', async () => {
    execFileSync('mkfifo', [join(root, '-a/s.jsonl')]);

    expect(await open('-a/s.jsonl')).toBe('irregular');
  });

  test('does not even open a pipe: a writer that waits for a reader goes on waiting', async () => {
    const pipe = join(root, '-a/s.jsonl');
    execFileSync('mkfifo', [pipe]);
    const writer = spawn('sh', ['-c', 'echo waited > "$0"', pipe]);
    // It sleeps: there is nothing else that it waits for.
    await until(async () => (await readFile(`/proc/${writer.pid}/stat`, 'utf8')).includes('(sh) S'));

    expect(await open('-a/s.jsonl')).toBe('irregular');

    expect(execFileSync('timeout', ['10', 'cat', pipe], { encoding: 'utf8' })).toBe('waited\n');
  });

  test('does not blame a file for there being no handle left', async () => {
    await writeFile(join(root, '-a/s.jsonl'), 'inside');

    const limited = ['-c', 'ulimit -n 40; exec "$@"', 'sh', process.execPath, WITHOUT_HANDLES, root, '-a/s.jsonl'];
    expect(execFileSync('sh', limited, { env: {}, encoding: 'utf8' })).toBe('Error EMFILE');
  });

  test('refuses a socket', async () => {
    const server = createServer().listen(join(root, '-a/s.jsonl'));
    await once(server, 'listening');

    expect(await open('-a/s.jsonl')).toBe('irregular');
    server.close();
  });

  test.each([
    ['a file for a link', 's.jsonl', (place: string) => symlink(join(outside, 's.jsonl'), place)],
    ['a file for a pipe', 's.jsonl', async (place: string) => void execFileSync('mkfifo', [place])],
    ['its folder for a link', '', (place: string) => symlink(outside, place)],
  ])('never gives anything else while somebody swaps %s', async (_, swapped, make) => {
    const place = join(root, '-a', swapped);
    const [one, other] = [join(folder, 'one'), join(folder, 'other')];
    await writeFile(join(root, '-a/s.jsonl'), 'inside');
    await rename(place, one);
    await make(other);

    const swapper = spawn(process.execPath, [SWAP, place, one, other], { env: {}, stdio: 'ignore' });
    const seen = new Set<string>();
    let opened = 0;
    await until(async () => {
      for (let times = 0; times < 50; times += 1) seen.add(await open('-a/s.jsonl'));
      opened += 50;
      return opened >= 1_000 && seen.has('inside') && seen.size > 1;
    }).finally(() => swapper.kill('SIGKILL'));

    expect(['absent', 'inside', 'irregular', 'linked', 'outside']).toEqual(expect.arrayContaining([...seen]));
  });
});

describe('isStillThere', () => {
  test('tells a file from the one that replaced it', async () => {
    await writeFile(join(root, '-a/s.jsonl'), 'inside');
    const handle = await openTranscript(root, '-a/s.jsonl');
    if (!handle) throw new Error('expected a handle');

    expect(await isStillThere(root, '-a/s.jsonl', handle)).toBe(true);
    await writeFile(join(root, '-a/new'), 'inside');
    await rename(join(root, '-a/new'), join(root, '-a/s.jsonl'));
    expect(await isStillThere(root, '-a/s.jsonl', handle)).toBe(false);
    await rm(join(root, '-a/s.jsonl'));
    expect(await isStillThere(root, '-a/s.jsonl', handle)).toBe(false);
    await handle.close();
  });
});
