import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { until } from '@loom/shared/testing/until.ts';
import { openHome } from './home.ts';
import { killAll, start } from './loom.ts';

let home = openHome();
beforeEach(() => {
  home.close();
  home = openHome();
});
afterAll(() => {
  killAll();
  home.close();
});

const SETTINGS = '.claude/settings.json';
const NASTY = Buffer.from(
  '\ufeff{\r\n\t// mine\r\n\t"env": {"ANTHROPIC_BASE_URL": "https://me:tea-at-four@other"},\r\n  "hooks": {"Stop": [],},\r\n}',
);
const bytesOf = (name: string) => readFileSync(home.path(name));
const modeOf = (name: string) => statSync(home.path(name)).mode & 0o777;

describe('loom connect', () => {
  test('connects, and disconnect leaves byte for byte what was there', async () => {
    home.write(SETTINGS, NASTY, 0o640);

    const connected = await home.loom(['connect', '--profile', 'alpha', '--yes']);
    const written = bytesOf(SETTINGS).toString();
    const backups = execFileSync('ls', ['-A', home.path('.local/state/loom'), home.path('.claude')]).toString();
    const disconnected = await home.loom(['disconnect']);

    expect([connected.code, connected.stderr]).toEqual([0, '']);
    expect(written).toContain('"LOOM_PROFILE": "alpha"');
    expect(backups.split('\n').filter((line) => /^[a-z]/.test(line))).toEqual([
      'settings.json',
      'connect.json',
      expect.stringMatching(/^settings-[0-9a-f]{8}\.backup$/),
    ]);
    expect(disconnected).toEqual({
      code: 0,
      lines: [`${home.path(SETTINGS)} is byte for byte as it was before`],
      stderr: '',
    });
    expect([bytesOf(SETTINGS).equals(NASTY), modeOf(SETTINGS)]).toEqual([true, 0o640]);
    expect(execFileSync('ls', ['-A', home.path('.local/state/loom')]).toString()).toBe('');
  });

  test('says whose base URL it replaces, shows the change, and shows no secret', async () => {
    home.write(SETTINGS, NASTY);

    const { lines } = await home.loom(['connect', '--dry-run']);

    expect(lines.slice(0, 6)).toEqual([
      `--- ${home.path(SETTINGS)}`,
      `+++ ${home.path(SETTINGS)}`,
      '@@ -1,5 +1,5 @@',
      ' {',
      '  // mine',
      '- "env": {"ANTHROPIC_BASE_URL": "https://…@other"},',
    ]);
    expect(lines.at(-1)).toBe(
      'ANTHROPIC_BASE_URL is https://…@other now. Loom forwards to api.anthropic.com, and there only if LOOM_UPSTREAM_URL says so.',
    );
    expect([bytesOf(SETTINGS).equals(NASTY), existsSync(home.path('.local'))]).toEqual([true, false]);
  });

  test('makes what is missing, for its owner alone, and disconnect takes it away again', async () => {
    await home.loom(['connect', '--yes']);
    const modes = [SETTINGS, '.claude', '.local/state/loom/connect.json', '.local/state/loom'].map(modeOf);
    await home.loom(['disconnect']);

    expect(modes).toEqual([0o600, 0o700, 0o600, 0o700]);
    expect(existsSync(home.path('.claude'))).toBe(false);
  });

  test('installs a hook whose command a shell can run, in a folder with blanks and a $', async () => {
    await home.loom(['connect', '--profile', 'alpha', '--yes']);

    const { hooks, env } = JSON.parse(bytesOf(SETTINGS).toString());
    const command = hooks.UserPromptSubmit[0].hooks[0].command;
    const output = execFileSync('sh', ['-c', command], {
      env: { ...env, PATH: process.env['PATH'] },
      input: JSON.stringify({ hook_event_name: 'UserPromptSubmit', session_id: 's1', prompt: 'Tea?' }),
    }).toString();
    const block = JSON.parse(JSON.parse(output).hookSpecificOutput.additionalContext);
    expect([block.canary, block.session_id, block.source]).toEqual([CANARY, 's1', 'alpha']);
    expect(env).toEqual({
      ANTHROPIC_BASE_URL: 'http://127.0.0.1:8080',
      CLAUDE_CODE_GATEWAY_HINT_HEADERS: '1',
      ENABLE_TOOL_SEARCH: 'true',
      LOOM_PROFILE: 'alpha',
    });
  });

  test('changes nothing when it is done again; with another profile, the first backup still counts', async () => {
    home.write(SETTINGS, NASTY);
    await home.loom(['connect', '--profile', 'alpha', '--yes']);
    const first = bytesOf(SETTINGS);

    const again = await home.loom(['connect', '--profile', 'alpha']);
    const same = bytesOf(SETTINGS).equals(first);
    await home.loom(['connect', '--profile', 'beta', '--yes']);
    const beta = bytesOf(SETTINGS).toString();
    await home.loom(['disconnect']);

    expect([again.lines, same]).toEqual([[`${home.path(SETTINGS)} is connected already`], true]);
    expect(beta).toBe(first.toString().replace('alpha', 'beta'));
    expect(bytesOf(SETTINGS).equals(NASTY)).toBe(true);
  });

  test('undoes no edit of somebody who wrote between two connects, or after them', async () => {
    home.write(SETTINGS, '{"a": 1}');
    await home.loom(['connect', '--profile', 'alpha', '--yes']);
    home.write(SETTINGS, bytesOf(SETTINGS).toString().replace('"a": 1', '"a": 2'));
    await home.loom(['connect', '--profile', 'beta', '--yes']);

    const { lines } = await home.loom(['disconnect']);

    expect(lines).toEqual([
      `${home.path(SETTINGS)} was edited since; what loom connect put in was taken out, all else stays`,
    ]);
    expect(bytesOf(SETTINGS).toString()).toBe('{"a": 2}');
  });

  test('follows a link, and leaves it one', async () => {
    home.write('dotfiles/claude.json', '{}');
    mkdirSync(home.path('.claude'));
    symlinkSync('../dotfiles/claude.json', home.path(SETTINGS));

    await home.loom(['connect', '--yes']);
    const isLink = lstatSync(home.path(SETTINGS)).isSymbolicLink();
    const target = JSON.parse(bytesOf('dotfiles/claude.json').toString());
    await home.loom(['disconnect']);

    expect([isLink, target.env.ENABLE_TOOL_SEARCH]).toEqual([true, 'true']);
    expect(bytesOf('dotfiles/claude.json').toString()).toBe('{}');
  });

  test('leaves a file alone that is read-only', async () => {
    home.write(SETTINGS, '{}', 0o444);

    const { code, stderr } = await home.loom(['connect', '--yes']);

    expect([code, stderr]).toEqual([1, `loom: ${home.path(SETTINGS)} is read-only; nothing was changed\n`]);
    expect([bytesOf(SETTINGS).toString(), existsSync(home.path('.local'))]).toEqual(['{}', false]);
  });

  test('knows its settings again in a folder that is a link, though there were none at first', async () => {
    mkdirSync(home.path('dotfiles'));
    symlinkSync('dotfiles', home.path('.claude'));

    await home.loom(['connect', '--yes']);
    const { lines } = await home.loom(['disconnect']);

    expect(lines).toEqual([`${home.path('dotfiles/settings.json')} is byte for byte as it was before`]);
    expect([existsSync(home.path('dotfiles')), existsSync(home.path(SETTINGS))]).toEqual([true, false]);
  });

  test.each([
    ['before the settings were written', () => home.write(SETTINGS, NASTY)],
    ['and the settings were put back by hand, and edited', () => home.write(SETTINGS, `${NASTY}\n`)],
  ])('that was cut short %s is undone all the same', async (_, cutShort) => {
    home.write(SETTINGS, NASTY);
    await home.loom(['connect', '--yes']);
    cutShort();
    const left = bytesOf(SETTINGS);

    await home.loom(['connect', '--yes']);
    await home.loom(['disconnect']);

    expect(bytesOf(SETTINGS).equals(left)).toBe(true);
  });

  test('makes the secret once, for its owner alone, and says how the gateway gets it', async () => {
    const secret = home.path('keys/loom');

    const { lines } = await home.loom(['connect', '--yes', '--secret-file', secret]);
    const made = bytesOf('keys/loom').toString();
    await home.loom(['connect', '--yes', '--secret-file', secret]);

    expect(lines).toContain(`made a secret in ${secret}; the gateway takes it as LOOM_HOOK_SECRET="$(cat ${secret})"`);
    expect([made, modeOf('keys/loom')]).toEqual([expect.stringMatching(/^[\w-]{43}\n$/), 0o600]);
    expect(bytesOf('keys/loom').toString()).toBe(made);
  });

  test.each([
    ['opus', 'opus[1m]'],
    ['opus[1m]', 'opus[1m]'],
  ])('keeps the long context of %s', async (model, name) => {
    await home.loom(['connect', '--yes', '--long-context', model]);

    expect(JSON.parse(bytesOf(SETTINGS).toString()).env.ANTHROPIC_MODEL).toBe(name);
  });

  test('takes the folders that the environment names, and the secret by its place', async () => {
    const secret = home.write('secret', 'sixteen characters');
    const environment = {
      CLAUDE_CONFIG_DIR: home.path('c'),
      XDG_STATE_HOME: home.path('s'),
      XDG_DATA_HOME: home.path('d'),
    };

    await home.loom(['connect', '--yes', '--secret-file', secret, '--url', 'http://pi:8080'], environment);

    const { env } = JSON.parse(bytesOf('c/settings.json').toString());
    expect([env.LOOM_HOOK_SECRET_FILE, env.ANTHROPIC_BASE_URL]).toEqual([secret, 'http://pi:8080']);
    expect(['s/loom/connect.json', 'd/loom/prompt-hook.mjs'].map((name) => existsSync(home.path(name)))).toEqual([
      true,
      true,
    ]);
  });

  test.each([
    ['{"a": 1,,}', [], /settings\.json: expected JSON, got something else at line 1, column 9; nothing was changed$/],
    ['{}', [], /^loom: expected --yes to change the settings, since nobody can be asked here$/],
    [
      '{"a": [',
      ['--yes'],
      /settings\.json: expected JSON, got something else at line 1, column 8; nothing was changed$/,
    ],
    [
      '{"hooks": null}',
      ['--yes'],
      /expected hooks to be an object, got null at line 1, column 11; nothing was changed$/,
    ],
    [
      '{}',
      ['--yes', '--settings', '/w/.claude/settings.local.json'],
      /^loom: \/w\/\.claude\/settings\.local\.json is a project's;/,
    ],
    [Buffer.from([0x7b, 0xff, 0x7d]), ['--yes'], /^loom: expected UTF-8 in .*settings\.json; nothing was changed$/],
  ])('refuses %j with %j, and touches nothing', async (text, words, message) => {
    home.write(SETTINGS, text);

    const { code, stderr } = await home.loom(['connect', ...words]);

    expect([code, bytesOf(SETTINGS)]).toEqual([1, Buffer.from(text)]);
    expect(stderr.trimEnd()).toMatch(message);
    expect(existsSync(home.path('.local'))).toBe(false);
  });
});

test('loom disconnect says so when there is nothing to undo', async () => {
  expect(await home.loom(['disconnect'])).toEqual({
    code: 0,
    lines: [`${home.path(SETTINGS)} is not connected; nothing was changed`],
    stderr: '',
  });
});

describe('loom claude', () => {
  const CLAUDE = [
    '#!/bin/sh',
    'trap "kill \\$!; echo ended; exit 9" TERM',
    'printf "%s\\n" "$@" "$ANTHROPIC_BASE_URL" "$CLAUDE_CODE_GATEWAY_HINT_HEADERS" "$ENABLE_TOOL_SEARCH" "$LOOM_PROFILE"',
    '[ "$3" != wait ] || { sleep 30 & echo ready; wait; }',
    'exit 7',
  ].join('\n');
  const startClaude = (words: string[]) => {
    chmodSync(home.write('bin/claude', CLAUDE), 0o755);
    const PATH = `${home.path('bin')}:${process.env['PATH']}`;
    return start(['claude', ...words], { HOME: home.folder, PATH });
  };
  const runClaude = async (words: string[]) => {
    const loom = startClaude(words);
    const code = await loom.exited;
    return { code, lines: loom.lines(), stderr: loom.stderr() };
  };

  test('starts the client with Loom in its environment and its hook, hands on its words and exit code', async () => {
    const { code, lines } = await runClaude(['--profile', 'alpha', '-p', 'two words', '--help']);

    const [flag, settings, ...rest] = lines;
    expect([code, flag, rest]).toEqual([
      7,
      '--settings',
      ['-p', 'two words', '--help', 'http://127.0.0.1:8080', '1', 'true', 'alpha'],
    ]);
    expect(JSON.parse(settings as string)).toEqual({
      env: {
        ANTHROPIC_BASE_URL: 'http://127.0.0.1:8080',
        CLAUDE_CODE_GATEWAY_HINT_HEADERS: '1',
        ENABLE_TOOL_SEARCH: 'true',
        LOOM_PROFILE: 'alpha',
      },
      hooks: {
        UserPromptSubmit: [
          { hooks: [{ type: 'command', command: expect.stringMatching(/prompt-hook\.mjs"$/), timeout: 5 }] },
        ],
      },
    });
    expect(existsSync(home.path('.claude'))).toBe(false);
  });

  test('passes a signal on, and ends as the client does', async () => {
    const loom = startClaude(['wait']);
    await until(() => loom.lines().includes('ready'));

    loom.child.kill('SIGTERM');

    expect([await loom.exited, loom.lines().at(-1)]).toEqual([9, 'ended']);
  });

  test('adds no second hook where the settings have one', async () => {
    home.write(SETTINGS, '{"hooks": {"UserPromptSubmit": [{"hooks": [{"command": "prompt-hook.mjs"}]}]}}');

    const { lines } = await runClaude([]);

    expect(Object.keys(JSON.parse(lines[1] as string))).toEqual(['env']);
  });

  test.each([
    [['--secret-file', '/nowhere'], 'there is no secret at /nowhere; loom connect makes one'],
    [['--bin', 'claudia'], 'there is no claudia in PATH; install Claude Code, or name it: loom claude --bin <file>'],
    [['--settings', '{}'], 'loom claude passes --settings itself; connect that file: loom connect --settings <file>'],
  ])('refuses %j', async (words, message) => {
    expect(await runClaude(words)).toEqual({ code: 1, lines: [], stderr: `loom: ${message}\n` });
  });
});

test('loom up starts what make up does, and hands on its words', async () => {
  const { code, stderr } = await home.loom(['up', '--services', home.path('none')]);

  expect([code, stderr]).toEqual([1, `expected folders with a start script in ${home.path('none')}, found none\n`]);
});
