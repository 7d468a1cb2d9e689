import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';

const MAIN = join(import.meta.dirname, '../demo/main.ts');
const run = promisify(execFile);

describe('make demo', () => {
  test('shows what was cut, injected, replayed and rewritten, each turn’s spans, and the events of it all', async () => {
    const { stdout } = await run(process.execPath, [MAIN], { timeout: 200_000 });
    const about = (ordinal: number) => stdout.split('\n\n').find((part) => part.startsWith(`${ordinal}. `)) ?? '';

    expect(about(1)).toContain('cut: 1 metadata block(s)');
    expect(about(1)).toContain('intro-injector (asked because: human): applied');
    expect(about(1)).toContain('+ - Sam waters the basil on Sundays.');
    expect(about(2)).toContain('replayed: 1 durable edit(s)');
    expect(about(3)).toContain('intro-injector (asked because: human): none');
    expect(about(7)).toContain('class compaction, profile alpha');
    expect(about(7)).toContain('+ I am Alpha.');
    expect(about(8)).toContain('replace /messages/0/content/0/text, durable');
    const trees = stdout.split('\n\n').filter((part) => part.startsWith('  user-turn:'));
    const names = trees.map((tree) => [...tree.matchAll(/─ (.*?) {2}/g)].map(([, name]) => name));
    const call = ['loom: POST /v1/messages', 'chat claude-opus-5-5'];
    const turn = ['collect-metadata', 'turn', ...call, 'execute_tool Bash', ...call];
    expect(names).toEqual([turn, turn, turn, ['collect-metadata', 'turn', ...call]]);
    expect(stdout).toContain('loom:turns: turn.started × 4, turn.ended × 4');
    expect(stdout).toContain('loom:responses: request.forwarded × 8, response.completed × 8');
    expect(stdout).toContain('Requests in which metadata reached the API: 0 of 8.');
  });

  test('ends all that it has started when nobody reads on', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'loom-unread-'));
    const demo = spawn(process.execPath, [MAIN], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(demo, 'exit');
    await once(demo.stdout, 'data');
    demo.stdout.destroy();

    const [code] = await exited;

    // Redis and the services had their folders there.
    expect([code, await readdir(folder)]).toEqual([0, []]);
    await rm(folder, { recursive: true });
  });
});
