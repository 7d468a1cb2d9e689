import { mkdir, mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { SessionFiles } from '../../src/adapters/session-files.ts';

const SESSION = '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b';
const OTHER = '4e1d2b3a-6a51-4a0e-9a0b-0c1d2e3f4a5b';
const NOTHING = { files: [], folders: [] };
let folder: string;
let root: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loom-files-'));
  root = join(folder, 'projects');
});
afterEach(() => rm(folder, { recursive: true }));

async function write(file: string, text = '{}\n'): Promise<void> {
  await mkdir(dirname(join(root, file)), { recursive: true });
  await writeFile(join(root, file), text);
}

async function find(files: SessionFiles, session = SESSION) {
  await files.refresh();
  return files.find(session);
}

/** What this process reads meanwhile, from files and sockets. */
async function bytesReadBy(action: () => Promise<unknown>): Promise<number> {
  const count = async () => Number(/rchar: (\d+)/.exec(await readFile('/proc/self/io', 'utf8'))?.[1]);
  const before = await count();
  await action();
  return (await count()) - before;
}

const of = (sessionId: string) => `${JSON.stringify({ parentUuid: null, isSidechain: true, sessionId })}\n{}\n`;

describe('SessionFiles', () => {
  test('finds nothing where there is no folder yet, and the file when both came', async () => {
    const files = new SessionFiles(root);
    expect(await find(files)).toEqual(NOTHING);

    await write(`-home-alpha/${SESSION}.jsonl`);

    expect(await find(files)).toEqual({ files: [{ file: `-home-alpha/${SESSION}.jsonl` }], folders: [] });
  });

  test('finds the same session in two projects', async () => {
    await write(`a/${SESSION}.jsonl`);
    await write(`b/${SESSION}.jsonl`);
    await write(`b/${OTHER}.jsonl`);

    expect(await find(new SessionFiles(root))).toEqual({
      files: [{ file: `a/${SESSION}.jsonl` }, { file: `b/${SESSION}.jsonl` }],
      folders: [],
    });
  });

  test("finds subagents in the session's own folders, as clients 2.1 put them", async () => {
    await write(`p/${SESSION}.jsonl`);
    await write(`p/${SESSION}/agent-a1.jsonl`);
    await write(`p/${SESSION}/subagents/agent-b2.jsonl`);
    await write(`p/${SESSION}/subagents/agent-b2.meta.json`);
    await write(`p/${SESSION}/tool-results/x.jsonl`);
    await write(`p/${OTHER}/subagents/agent-c3.jsonl`);
    const files = new SessionFiles(root);

    expect(await find(files)).toEqual({
      files: [
        { file: `p/${SESSION}.jsonl` },
        { file: `p/${SESSION}/agent-a1.jsonl`, agentId: 'a1' },
        { file: `p/${SESSION}/subagents/agent-b2.jsonl`, agentId: 'b2' },
      ],
      folders: [`p/${SESSION}/subagents`],
    });

    await write(`p/${SESSION}/subagents/agent-d4.jsonl`);
    expect((await find(files)).files.at(-1)).toEqual({ file: `p/${SESSION}/subagents/agent-d4.jsonl`, agentId: 'd4' });
  });

  test('finds subagents beside the session by their first line, as clients 2.0 write them', async () => {
    await write(`p/${SESSION}.jsonl`);
    await write('p/agent-a1.jsonl', of(SESSION));
    await write('p/agent-b2.jsonl', of(OTHER));
    await write('p/agent-c3.jsonl', 'no JSON\n');
    await write('p/agent-d4.jsonl', `{"sessionId":{"sessionId":"${SESSION}"}}\n`);
    await write('p/agent-e5.jsonl', `{"message":"${'x'.repeat(100_000)}","sessionId":"${SESSION}"}\n`);
    await write('p/agent-f6.jsonl', `{"message":"${'x'.repeat(1_100_000)}","sessionId":"${SESSION}"}\n`);
    await write('q/agent-g7.jsonl', of(SESSION));
    await symlink(join(root, 'p/agent-a1.jsonl'), join(root, 'p/agent-h8.jsonl'));

    expect(await find(new SessionFiles(root))).toEqual({
      files: [
        { file: `p/${SESSION}.jsonl` },
        { file: 'p/agent-a1.jsonl', agentId: 'a1' },
        { file: 'p/agent-e5.jsonl', agentId: 'e5' },
      ],
      folders: [],
    });
  });

  test('asks a subagent again whose first line was not whole, and one that was answered never again', async () => {
    await write(`p/${SESSION}.jsonl`);
    await write('p/agent-a1.jsonl', of(SESSION).slice(0, 30));
    const files = new SessionFiles(root);
    expect((await find(files)).files).toEqual([{ file: `p/${SESSION}.jsonl` }]);

    await write('p/agent-a1.jsonl', of(SESSION));
    const found = [{ file: `p/${SESSION}.jsonl` }, { file: 'p/agent-a1.jsonl', agentId: 'a1' }];
    expect((await find(files)).files).toEqual(found);

    await write('p/agent-a1.jsonl', of(OTHER));
    expect((await find(files)).files).toEqual(found);
  });

  test('does not read a subagent again that has no whole first line and has not changed', async () => {
    await write(`p/${SESSION}.jsonl`);
    for (const name of ['a1', 'b2', 'c3', 'd4']) await write(`p/agent-${name}.jsonl`, 'x'.repeat(900_000));
    const files = new SessionFiles(root);
    const asked = await bytesReadBy(() => find(files));

    const askedAgain = await bytesReadBy(() => find(files));

    expect(asked).toBeGreaterThan(3_000_000);
    expect(askedAgain).toBeLessThan(1_000_000);
  });

  test('asks a subagent again that was no file of its own, and one that was written anew under its name', async () => {
    await write(`p/${SESSION}.jsonl`);
    await write('q/agent-a1.jsonl', of(SESSION));
    await symlink(join(root, 'q/agent-a1.jsonl'), join(root, 'p/agent-a1.jsonl'));
    const files = new SessionFiles(root);
    const main = { file: `p/${SESSION}.jsonl` };
    expect((await find(files)).files).toEqual([main]);

    await rm(join(root, 'p/agent-a1.jsonl'));
    await write('p/agent-a1.jsonl', of(SESSION));
    expect((await find(files)).files).toEqual([main, { file: 'p/agent-a1.jsonl', agentId: 'a1' }]);

    await rm(join(root, 'p/agent-a1.jsonl'));
    expect((await find(files)).files).toEqual([main]);
    await write('p/agent-a1.jsonl', of(OTHER));
    expect((await find(files)).files).toEqual([main]);
  });

  test('looks into a root that is a link itself', async () => {
    await mkdir(join(folder, 'elsewhere/p'), { recursive: true });
    await writeFile(join(folder, `elsewhere/p/${SESSION}.jsonl`), '{}\n');
    await symlink(join(folder, 'elsewhere'), root);

    expect((await find(new SessionFiles(root))).files).toEqual([{ file: `p/${SESSION}.jsonl` }]);
  });

  test('looks into no folder that is a link', async () => {
    await mkdir(join(folder, 'elsewhere'), { recursive: true });
    await writeFile(join(folder, 'elsewhere', `${SESSION}.jsonl`), '{}\n');
    await mkdir(root);
    await symlink(join(folder, 'elsewhere'), join(root, 'p'));

    expect(await find(new SessionFiles(root))).toEqual(NOTHING);
  });

  test('names what lies where a transcript would, whatever it is: the opening refuses it', async () => {
    await mkdir(join(root, 'p', `${SESSION}.jsonl`), { recursive: true });

    expect((await find(new SessionFiles(root))).files).toEqual([{ file: `p/${SESSION}.jsonl` }]);
  });

  test('follows a file that moves to another project, and one that goes', async () => {
    await write(`a/${SESSION}.jsonl`);
    await write(`b/${OTHER}.jsonl`);
    const files = new SessionFiles(root);
    await find(files);

    await rename(join(root, `a/${SESSION}.jsonl`), join(root, `b/${SESSION}.jsonl`));
    expect((await find(files)).files).toEqual([{ file: `b/${SESSION}.jsonl` }]);

    await rm(join(root, 'b'), { recursive: true });
    expect(await find(files)).toEqual(NOTHING);
  });

  test('sees a file that came right after the folder was read, within one step of its time', async () => {
    await write(`p/${OTHER}.jsonl`);
    const files = new SessionFiles(root);
    const now = new Date();
    await utimes(join(root, 'p'), now, now);
    await find(files);

    await write(`p/${SESSION}.jsonl`);
    await utimes(join(root, 'p'), now, now);

    expect((await find(files)).files).toEqual([{ file: `p/${SESSION}.jsonl` }]);
  });
});

describe('findChangedSince', () => {
  test('finds the sessions whose own transcript changed lately, each once', async () => {
    const old = new Date('2026-01-01T00:00:00Z');
    await write(`p/${SESSION}.jsonl`);
    await write(`q/${SESSION}.jsonl`);
    await write(`p/${OTHER}.jsonl`);
    await utimes(join(root, `p/${OTHER}.jsonl`), old, old);
    await write('p/agent-a1.jsonl', of(SESSION));
    await write('p/not a session.jsonl');
    await write('p/notes.txt');

    expect(await new SessionFiles(root).findChangedSince(old.getTime() + 1)).toEqual([
      { session: SESSION, project: 'p' },
    ]);
  });
});
