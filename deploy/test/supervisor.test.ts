import { afterEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { findProcess } from '../up/process.ts';
import { restartDelay, type Supervised, supervise } from '../up/supervisor.ts';

const running: Supervised[] = [];
afterEach(() => Promise.all(running.splice(0).map((supervised) => supervised.stop(0))));

/** Runs a Node script under supervision; `seen` is what its watcher was told. */
function run(script: string, command = [process.execPath, '-e', script]) {
  const seen = { pids: [] as number[], ended: [] as number[], lines: [] as string[] };
  const watcher = {
    started: (_: string, pid: number) => seen.pids.push(pid),
    ended: (_: string, pid: number) => seen.ended.push(pid),
    line: (_: string, line: string) => seen.lines.push(line),
  };
  const program = { name: 'program', command, folder: process.cwd(), environment: {} };
  const supervised = supervise(program, watcher, () => 10);
  running.push(supervised);
  return { supervised, seen };
}

const isAlive = (pid: number | undefined) => findProcess('program', pid as number) !== undefined;

describe('restartDelay', () => {
  test('is one second, doubling to fifteen', () => {
    expect([1, 2, 3, 4, 5, 6, 50].map(restartDelay)).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  });
});

describe('supervise', () => {
  test('passes on the lines of both outputs', async () => {
    const { seen } = run("process.stdout.write('one\\n'); process.stderr.write('two\\n'); setInterval(() => {}, 1000)");

    await until(() => seen.lines.length === 2);

    expect(seen.lines.sort()).toEqual(['one', 'two']);
  });

  test('starts a program again that ends by itself, and says so', async () => {
    const { seen } = run('process.exit(3)');

    await until(() => seen.pids.length === 3);

    expect(seen.ended.slice(0, 2)).toEqual(seen.pids.slice(0, 2));
    expect(seen.lines[0]).toBe('ended by itself (exit code 3), starts again in 0.01 s');
  });

  test('does not start a program again that it has stopped', async () => {
    const { supervised, seen } = run('setInterval(() => {}, 1000)');

    await supervised.stop(10_000);

    expect(seen.ended).toEqual(seen.pids);
    expect(seen.lines).toEqual([]);
  });

  test('kills a program that does not end within its grace', async () => {
    const { supervised, seen } = run(
      "process.on('SIGTERM', () => {}); process.stdout.write('deaf\\n'); setInterval(() => {}, 1000)",
    );
    await until(() => seen.lines.includes('deaf'));

    await supervised.stop(50);

    expect(seen.lines).toEqual(['deaf', 'did not end within 0.05 s and was killed']);
    expect(isAlive(seen.pids[0])).toBe(false);
  });

  test('ends what a program has started itself', async () => {
    const grandchild = "require('node:child_process').spawn('sleep', ['600'], { stdio: 'ignore' })";
    const { supervised, seen } = run(`process.stdout.write(${grandchild}.pid + '\\n')`);
    await until(() => seen.lines.length > 0);
    const pid = Number(seen.lines[0]);
    expect(isAlive(pid)).toBe(true);

    await supervised.stop(10_000);

    await until(() => !isAlive(pid));
  });

  test('says why a program cannot be started', async () => {
    const { seen } = run('', ['no-such-program']);

    await until(() => seen.lines.length > 0);

    expect(seen.lines[0]).toBe('could not be started (spawn no-such-program ENOENT), starts again in 0.01 s');
  });
});
