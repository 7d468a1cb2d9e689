import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import { blockOf, HOOK, INPUT, NODES, runHook } from './hook-process.ts';

const started: ChildProcess[] = [];
afterEach(() => {
  // One that hangs must not outlive its test.
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

function start(node: string, stdio: (number | 'pipe')[] = ['pipe', 'pipe', 'pipe']): ChildProcess {
  const child = spawn(node, [HOOK], { env: {}, stdio });
  started.push(child);
  return child;
}

/** Waits for the end of a hook whose stdin stays open. */
async function runOf(child: ChildProcess) {
  const output = Promise.all([child.stdout, child.stderr].map((stream) => (stream ? text(stream) : '')));
  const [code] = await once(child, 'exit');
  child.stdin?.destroy();
  const [stdout = '', stderr = ''] = await output;
  return { code, stdout, stderr };
}

describe.each(NODES)('the hook, under node %s', (_, node) => {
  test('answers a client that does not close stdin, with what it has written', async () => {
    const child = start(node);
    child.stdin?.write(JSON.stringify(INPUT));

    expect(blockOf(await runOf(child)).block.prompt).toBe(INPUT.prompt);
  });

  test('answers a client that writes nothing', async () => {
    const { block } = blockOf(await runOf(start(node)));

    expect([block.v, block.session_id, block.prompt]).toEqual([1, undefined, undefined]);
  });

  test('answers when its stdin cannot be read', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'loom-hook-'));
    const stdin = openSync(join(folder, 'written'), 'w');

    const { block } = blockOf(await runOf(start(node, [stdin, 'pipe', 'pipe'])));

    expect(block.v).toBe(1);
    closeSync(stdin);
    rmSync(folder, { recursive: true });
  });

  test('reads what is there, also when the machine was busy until the deadline', () => {
    const busy = 'process.nextTick(() => { for (const end = Date.now() + 400; Date.now() < end; ); })';
    const preload = `data:text/javascript,process.stdin.once('newListener', () => ${busy})`;

    const run = runHook(INPUT, { NODE_OPTIONS: `--import=${encodeURI(preload)}` }, { node });

    expect(blockOf(run).block.prompt).toBe(INPUT.prompt);
  });

  test('leaves quietly when nobody wants the answer any more', async () => {
    const child = start(node);
    child.stdout?.destroy();
    const stderr = child.stderr && text(child.stderr);
    child.stdin?.end(JSON.stringify(INPUT));

    const [code] = await once(child, 'exit');

    expect([code, await stderr]).toEqual([0, '']);
  });

  test.each(['UserPromptSubmit', 'Stop'])('leaves when nobody reads the answer to %s', async (event) => {
    const folder = mkdtempSync(join(tmpdir(), 'loom-hook-'));
    const stdout = openFullPipe(join(folder, 'pipe'));
    const child = start(node, ['pipe', stdout, 'pipe']);
    child.stdin?.end(JSON.stringify({ ...INPUT, hook_event_name: event }));

    const { code, stderr } = await runOf(child);

    expect([code, stderr]).toEqual([0, '']);
    closeSync(stdout);
    rmSync(folder, { recursive: true });
  });
});

/** A pipe that takes no byte more. */
function openFullPipe(path: string): number {
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(pipe, Buffer.alloc(4_096));
  } catch {
    // EAGAIN: it is full.
    return pipe;
  }
}
