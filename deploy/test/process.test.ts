import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from '@jest/globals';
import { endProcesses, findProcess, haveEnded, isRunning, type RunningProcess } from '../up/process.ts';

const started: RunningProcess[] = [];
afterEach(() => endProcesses(started.splice(0), 0));

/** A program that says when it is ready; it leads a process group, as the services do. */
async function run(script: string): Promise<RunningProcess> {
  const child = spawn(process.execPath, ['-e', `${script}; process.stdout.write('ready')`], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const running = findProcess('program', child.pid as number) as RunningProcess;
  started.push(running);
  return running;
}

describe('isRunning', () => {
  test('tells a process from a later one with the same pid', () => {
    const self = findProcess('jest', process.pid) as RunningProcess;

    expect(isRunning(self)).toBe(true);
    expect(isRunning({ ...self, started: self.started.replace(/\d+$/, '1') })).toBe(false);
  });

  test('finds no process where there is none', () => {
    // Linux gives no pid above 2^22.
    expect(findProcess('nobody', 2 ** 22 + 1)).toBeUndefined();
  });
});

describe('endProcesses', () => {
  test('lets a process end by itself', async () => {
    const polite = await run('setInterval(() => {}, 1000)');

    await endProcesses([polite], 10_000);

    expect(isRunning(polite)).toBe(false);
  });

  test('kills one that does not', async () => {
    const stubborn = await run("process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)");

    await endProcesses([stubborn], 50);

    expect(isRunning(stubborn)).toBe(false);
  });

  test('leaves a stranger alone who got the pid', async () => {
    const stranger = await run('setInterval(() => {}, 1000)');

    await endProcesses([{ ...stranger, started: 'another boot/1' }], 50);

    expect(await haveEnded([stranger], 200)).toBe(false);
  });
});
