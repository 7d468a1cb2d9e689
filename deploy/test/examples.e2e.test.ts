import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { expectKeptThroughout, messagesOf, textsOf } from '../../services/gateway/test/e2e/forwarded.ts';
import { startStack } from '../../services/gateway/test/e2e/stack.ts';
import { Talk } from '../../services/gateway/test/e2e/talk.ts';

const EXAMPLES = join(import.meta.dirname, '../examples');

const stack = await startStack();
afterAll(() => stack.close());

let example: ChildProcess | undefined;
let complaints = '';
afterEach(end);

async function end(): Promise<void> {
  if (!example || example.exitCode !== null) return;
  const exited = once(example, 'exit');
  // The whole group: redis-cli is the one that waits.
  process.kill(-(example.pid as number), 'SIGKILL');
  await exited;
  example = undefined;
  // Retired, as the README says: nobody waits for it any more.
  const name = stack.environment['LOOM_EXPECTED_REWRITERS'] as string;
  await Promise.all([stack.client.hdel('loom:rewriters', name), stack.client.del(`loom:rewriter:${name}`)]);
  expect(complaints).toBe('');
}

/** Starts an example and waits until the gateway knows it. */
async function start(command: string, file: string, name: string): Promise<void> {
  complaints = '';
  example = spawn(command, [join(EXAMPLES, file)], {
    env: { PATH: process.env['PATH'], REDIS_URL: stack.redis.url },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  example.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  stack.environment['LOOM_EXPECTED_REWRITERS'] = name;
  await stack.gateway.stop();
  await stack.gateway.start();
  await stack.ready();
}

const hasPython = spawnSync('python3', ['--version']).status === 0;

describe('the example rewriter in', () => {
  test.each([
    ...(hasPython ? [['Python', 'python3', 'house-rules.py', 'house-rules', 'House rule: metres, not feet.']] : []),
    ['shell', 'sh', 'signature.sh', 'signature', 'Typed by hand.'],
  ] as [string, string, string, string, string][])(
    '%s edits what a person typed, and the edit stays; started again, it goes on',
    async (_, command, file, name, text) => {
      const isAllSettled = async () => (await stack.client.xpending('loom:requests', name))[0] === 0;
      const talk = new Talk(stack, { name: file, version: '2.1.330' });
      await start(command, file, name);

      await talk.turn('How long is the "pointer":"/x" garden, \\ in all?');
      // A question that was answered and not acknowledged would stay with a consumer of the same name.
      await until(isAllSettled);
      await end();
      await start(command, file, name);
      await talk.turn('And how wide?');

      expectKeptThroughout(talk.exchanges);
      const texts = messagesOf(talk.last.forwarded.json()).flatMap(textsOf);
      expect(texts.flatMap((each, at) => (each === text ? [texts[at - 1]] : []))).toEqual([
        'How long is the "pointer":"/x" garden, \\ in all?',
        'And how wide?',
      ]);
      await until(isAllSettled);
    },
  );
});

describe('the README', () => {
  test('shows the Python example as it is', () => {
    const readme = readFileSync(join(EXAMPLES, '../../README.md'), 'utf8');
    const shown = /```python\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
    const withoutComments = (text: string) => text.replaceAll(/ +#.*$/gm, '').trim();

    expect(
      withoutComments(readFileSync(join(EXAMPLES, 'house-rules.py'), 'utf8')).endsWith(withoutComments(shown)),
    ).toBe(true);
    expect(withoutComments(shown)).toMatch(/^redis\("XGROUP"/);
  });
});
