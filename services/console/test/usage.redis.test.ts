import { afterAll, describe, expect, test } from '@jest/globals';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { eventSchema } from '../src/core/json-schema.ts';
import { killAll, run, runHere } from './loom.ts';

const server = await startRedis();
afterAll(async () => {
  killAll();
  await server.close();
});

const CONNECTING = ['connect', 'disconnect', 'claude', 'up'];
const LOOKING = ['transcripts', 'events', 'tail', 'trace', 'why', 'dead-letters', 'schema', 'status', 'doctor'];
const COMMANDS = [...CONNECTING, ...LOOKING.filter((name) => name !== 'dead-letters')].map((name) => [name]);
const VERBS = [[], ['list'], ['show'], ['replay'], ['drop']].map((verb) => ['dead-letters', ...verb]);

describe('loom', () => {
  test('explains every command, with an example, in 80 columns', async () => {
    const commands = [...COMMANDS, ...VERBS];

    const explained = [];
    for (const words of commands) explained.push(await runHere([...words, '--help']));

    expect(explained.flatMap(({ lines }) => lines.filter((line) => line.length > 80))).toEqual([]);
    const shown = explained.map(({ code, lines, stderr }) => {
      const example = lines[lines.indexOf('Example:') + 1] ?? '';
      return { code, stderr, usage: lines[0]?.split(' [')[0], example: example.split(' ').slice(2, 4).join(' ') };
    });
    expect(shown).toEqual(
      commands.map((words) => ({
        code: 0,
        stderr: '',
        usage: expect.stringContaining(`Usage: loom ${words.join(' ')}`),
        example: `loom ${words[0]}`,
      })),
    );
  });

  test('lists its commands and settings, with an example', async () => {
    const { code, lines } = await run(['--help']);

    const commands = lines.flatMap((line) => /^ {2}([a-z-]+)(?: \[| {2})/.exec(line)?.[1] ?? []);
    expect([code, lines.filter((line) => line.length > 80)]).toEqual([0, []]);
    expect(commands).toEqual([...CONNECTING, ...LOOKING, 'help']);
    expect(lines.join('\n')).toContain('  REDIS_URL  ');
    expect(lines.join('\n')).toContain('Example:\n  loom status --watch');
  });

  test.each([
    [['tea'], "loom: unknown command 'tea'\n"],
    [['tial'], "loom: unknown command 'tial'\n(Did you mean tail?)\n"],
    [['tail', '--tea'], "loom: unknown option '--tea'\n"],
    [['tail', 'tea'], "loom: too many arguments for 'tail'. Expected 0 arguments but got 1: tea.\n"],
    [['dead-letters', 'replay'], 'loom: expected ids, or --all\n'],
    [
      ['connect', '--url', 'tea'],
      "loom: option '--url <url>' argument 'tea' is invalid. Expected an address such as http://127.0.0.1:8080.\n",
    ],
    [['dead-letters', 'drop', '1-1', '--all'], 'loom: expected ids, or --all\n'],
    [
      ['tail', '--since', 'tea'],
      "loom: option '--since <id|duration>' argument 'tea' is invalid. Expected an entry id such as 1760000000000-0, or a duration such as 10m.\n",
    ],
  ])('refuses %p', async (words, stderr) => {
    expect(await runHere(words)).toEqual({ code: 2, lines: [], stderr });
  });

  test('prints the schema of the events, and the AsyncAPI document, without Redis', async () => {
    const nowhere = { REDIS_URL: 'redis://127.0.0.1:1' };

    const schema = await run(['schema'], nowhere);
    const asyncapi = await run(['schema', '--asyncapi'], nowhere);

    expect(JSON.parse(schema.lines.join('\n'))).toEqual(eventSchema());
    expect(JSON.parse(asyncapi.lines.join('\n'))).toMatchObject({ asyncapi: '3.0.0', info: { title: 'Loom' } });
    expect([schema.code, asyncapi.code]).toEqual([0, 0]);
  });
});

describe('loom, when Redis', () => {
  test.each([[['tail']], [['status']]])('is away, says where and what to do: %p', async (words) => {
    const port = await freePort();

    expect(await run(words, { REDIS_URL: `redis://:secret@127.0.0.1:${port}` })).toEqual({
      code: 1,
      lines: [],
      stderr: `loom: Redis at 127.0.0.1:${port} does not answer: connect ECONNREFUSED 127.0.0.1:${port}. Start it (make up), or set REDIS_URL\n`,
    });
  });

  test('is frozen, gives up after a few seconds', async () => {
    server.freeze();

    const { code, stderr } = await run(['tail'], { REDIS_URL: server.url });

    server.thaw();
    expect([code, stderr]).toEqual([
      1,
      `loom: Redis at 127.0.0.1:${server.port} does not answer: no answer within 3 s. Start it (make up), or set REDIS_URL\n`,
    ]);
  });

  test('wants a password, says where to put it', async () => {
    await server.client().config('SET', 'requirepass', 'secret');

    const without = await run(['status'], { REDIS_URL: server.url });
    const wrong = await run(['status'], { REDIS_URL: `redis://:wrong@127.0.0.1:${server.port}` });

    for (const { code, lines, stderr } of [without, wrong]) {
      expect([code, lines]).toEqual([1, []]);
      expect(stderr).toMatch(/^loom: Redis at 127\.0\.0\.1:\d+ refuses: (NOAUTH|WRONGPASS).*REDIS_URL\n$/);
    }
  });

  test('is misnamed, says which setting is wrong', async () => {
    expect(await run(['status'], { REDIS_URL: 'http://127.0.0.1' })).toEqual({
      code: 1,
      lines: [],
      stderr: 'loom: these settings are wrong: REDIS_URL: expected redis://host:port\n',
    });
  });
});
