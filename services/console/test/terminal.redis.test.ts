import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { deadLetter } from '@loom/shared/dead-letter.ts';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { until } from '@loom/shared/testing/until.ts';
import { openBus } from './bus.ts';
import { draft, event, transcriptLine } from './events.ts';
import { openHome } from './home.ts';
import { FOLDER } from './loom.ts';

const bus = await openBus();
afterAll(() => bus.close());

/** Runs a command in a terminal of its own (util-linux's `script`), so many columns wide. */
function inTerminal(columns: number, words: string, environment: NodeJS.ProcessEnv = {}) {
  const command = `stty cols ${columns} -echo; exec ${process.execPath} src/main.ts ${words}`;
  const env = {
    ...PASSED_ON,
    TZ: 'UTC',
    TERM: 'xterm-256color',
    SHELL: '/bin/sh',
    LOOM_KEY_PREFIX: 't',
    ...bus.environment,
  };
  const child = spawn('/usr/bin/env', ['script', '-qec', command, '/dev/null'], {
    cwd: FOLDER,
    env: { ...env, ...environment },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const exited = once(child, 'close').then(([code]) => code as number | null);
  return {
    output: () => output,
    type: (text: string) => child.stdin.write(text),
    exited,
  };
}

const CTRL_C = '\u0003';
const ESC = '\u001b[';

describe('loom in a terminal', () => {
  test('is as wide as the terminal, in colours, and ends quietly with Ctrl-C', async () => {
    await bus.publish(draft(event('transcript.line', transcriptLine({ text: 'x'.repeat(200) }))));
    const loom = inTerminal(60, 'transcripts --all');
    await until(() => loom.output().includes('\n'));

    loom.type(CTRL_C);

    expect(await loom.exited).toBe(0);
    expect(loom.output()).toBe(
      `${ESC}32m→${ESC}39m 3f2a91c0 ${ESC}32muser/user (text)${ESC}39m ${'x'.repeat(31)}…\r\n`,
    );
  });

  test('has no colours with NO_COLOR', async () => {
    const loom = inTerminal(40, 'transcripts --all', { NO_COLOR: '1' });
    await until(() => loom.output().includes('\n'));

    loom.type(CTRL_C);

    await loom.exited;
    expect(loom.output()).toBe(`→ 3f2a91c0 user/user (text) ${'x'.repeat(11)}…\r\n`);
  });

  test('draws the status anew', async () => {
    const loom = inTerminal(80, 'status --watch');
    const count = (text: string) => loom.output().split(text).length - 1;
    await until(() => count('Redis holds') >= 2);

    loom.type(CTRL_C);

    expect(await loom.exited).toBe(0);
    // A slow machine draws it once more before the Ctrl-C comes.
    expect(count(`${ESC}2J${ESC}H`)).toBe(count('Redis holds'));
  });

  test.each([
    ['y\r', 'dropped 1 dead letter', 0],
    ['n\r', 'nothing was dropped', 1],
    [CTRL_C, 'nothing was dropped', 1],
  ])('asks before it drops a dead letter: %j', async (reply, said, left) => {
    await bus.redis.del('t:dead-letters');
    const origin = { key: 't:tea', id: '1-0', fields: ['a', 'b'], deliveries: 5 };
    await bus.streams.append([deadLetter('t:dead-letters', origin, 'cook', 'too hot')]);
    const loom = inTerminal(80, 'dead-letters drop --all');
    await until(() => loom.output().includes('Drop 1 dead letter for good? [y/N] '));

    loom.type(reply);

    expect(await loom.exited).toBe(0);
    expect(loom.output()).toContain(said);
    expect(await bus.redis.xlen('t:dead-letters')).toBe(left);
  });

  test.each([
    ['y\r', true],
    ['n\r', false],
  ])('asks before it changes the settings: %j', async (reply, isChanged) => {
    const home = openHome();
    const loom = inTerminal(80, 'connect', { HOME: home.folder });
    await until(() => loom.output().includes('[y/N] '));

    loom.type(reply);

    expect(await loom.exited).toBe(0);
    expect(loom.output()).toContain(`${ESC}32m+  "env": {${ESC}39m`);
    expect(existsSync(home.path('.claude/settings.json'))).toBe(isChanged);
    home.close();
  });

  test('writes nothing over what somebody else wrote while it asked', async () => {
    const home = openHome();
    const loom = inTerminal(80, 'connect', { HOME: home.folder });
    await until(() => loom.output().includes('[y/N] '));
    home.write('.claude/settings.json', '{"model": "opus"}');

    loom.type('y\r');

    expect(await loom.exited).toBe(1);
    expect(loom.output()).toContain('was changed meanwhile; nothing was written, run it again');
    expect(readFileSync(home.path('.claude/settings.json'), 'utf8')).toBe('{"model": "opus"}');
    home.close();
  });
});
