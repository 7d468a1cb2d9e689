import { describe, expect, test } from '@jest/globals';
import { parse } from 'jsonc-parser';
import {
  type Connection,
  connectionEnv,
  connectSettings,
  disconnectSettings,
  isEmpty,
  readConnection,
  sessionSettings,
} from '../../src/core/settings.ts';

const CONNECTION: Connection = {
  env: connectionEnv({ url: 'http://127.0.0.1:8080', profile: 'alpha' }),
  command: 'node "/data/prompt-hook.mjs"',
};
const HOOK = { type: 'command', command: CONNECTION.command, timeout: 5 };

const ODD = `{
   // the tea
   "env": { "TEA": "four", /* sharp */ },
   "hooks": {
      "Stop": [],
      "UserPromptSubmit": [
         {"hooks": [{"type": "command", "command": "date"}]} // the time
      ],
   },
}`;

/** What somebody's settings may look like. */
const TEXTS: [string, string][] = [
  ['nothing', ''],
  ['an empty object', '{}\n'],
  ['an open object', '{\n}\n'],
  ['one line', '{"model":"opus","env":{"TEA":"four"}}'],
  ['tabs and CRLF', '{\r\n\t"env": {\r\n\t\t"TEA": "four"\r\n\t}\r\n}\r\n'],
  ['comments, trailing commas, other hooks', ODD],
  ['a BOM', '\ufeff{\n  "model": "opus"\n}'],
  ['a comment alone', '// nothing yet'],
];

const withoutBom = (text: string) => text.replace(/^\ufeff/, '');

describe('connectSettings', () => {
  test('writes settings where there are none', () => {
    const { text } = connectSettings('', { env: { A: '1' }, command: 'node "prompt-hook.mjs"' });

    expect(text).toBe(`{
  "env": {
    "A": "1"
  },
  "hooks": {
    "UserPromptSubmit": [
      {
        "hooks": [
          {
            "type": "command",
            "command": "node \\"prompt-hook.mjs\\"",
            "timeout": 5
          }
        ]
      }
    ]
  }
}
`);
  });

  test('leaves every byte where it was, comments, commas and odd indents too', () => {
    const { text } = connectSettings(ODD, { env: { A: '1' }, command: 'prompt-hook.mjs' });

    expect(text).toBe(`{
   // the tea
   "env": { "A": "1", "TEA": "four", /* sharp */ },
   "hooks": {
      "Stop": [],
      "UserPromptSubmit": [
         {
            "hooks": [
               {
                  "type": "command",
                  "command": "prompt-hook.mjs",
                  "timeout": 5
               }
            ]
         },
         {"hooks": [{"type": "command", "command": "date"}]} // the time
      ],
   },
}`);
  });

  test.each(TEXTS)('adds to %s what is missing, and nothing when it is called again', (_, before) => {
    const { text } = connectSettings(before, CONNECTION);

    const old = parse(withoutBom(before)) ?? {};
    const hooks = [{ hooks: [HOOK] }, ...(old.hooks?.UserPromptSubmit ?? [])];
    expect(parse(withoutBom(text))).toEqual({
      ...old,
      env: { ...CONNECTION.env, ...old.env },
      hooks: { ...old.hooks, UserPromptSubmit: hooks },
    });
    expect(text.startsWith('\ufeff')).toBe(before.startsWith('\ufeff'));
    if (before.includes('\r\n')) expect(text).not.toMatch(/[^\r]\n/);
    expect(connectSettings(text, CONNECTION)).toEqual({ text });
  });

  test('replaces a value in its place', () => {
    const { text } = connectSettings('{"env": {"A": "0" /* a */}, "hooks": {"UserPromptSubmit": []}}', {
      env: { A: '1' },
      command: 'prompt-hook.mjs',
    });

    expect(text.slice(0, 28)).toBe('{"env": {"A": "1" /* a */}, ');
  });

  test('takes the last of several members with one name, as the client does', () => {
    const { text } = connectSettings('{"env": {"A": "0"}, "env": {"A": "2"}, "hooks": {}}', {
      env: { A: '1' },
      command: 'x',
    });

    expect(text.slice(0, 38)).toBe('{"env": {"A": "0"}, "env": {"A": "1"},');
  });

  test('puts its hook in the place of another copy', () => {
    const before =
      '{"hooks": {"UserPromptSubmit": [{"hooks": [{"command": "node /old/prompt-hook.mjs"}]}]}, "env": {}}';

    expect(connectSettings(before, { env: {}, command: 'node /new/prompt-hook.mjs' })).toEqual({
      text: before.replace('/old/', '/new/'),
      replacedCommand: 'node /old/prompt-hook.mjs',
    });
  });

  test.each([
    ['{\n  "env": {,}\n}', 'expected JSON, got something else at line 2, column 11'],
    ['{"a": 1', 'expected JSON, got something else at line 1, column 8'],
    ['[]', 'expected the whole to be an object, got array at line 1, column 1'],
    ['{\n"env": null}', 'expected env to be an object, got null at line 2, column 8'],
    [
      '{"hooks": {"UserPromptSubmit": {}}}',
      'expected hooks.UserPromptSubmit to be a list, got object at line 1, column 32',
    ],
  ])('refuses %j, and says where', (text, message) => {
    expect(() => connectSettings(text, CONNECTION)).toThrow(message);
  });
});

describe('disconnectSettings', () => {
  test.each(TEXTS)('undoes it in what was edited since: %s', (_, before) => {
    const { text: connected } = connectSettings(before, CONNECTION);
    const rewritten = JSON.stringify({ ...parse(withoutBom(connected)), theme: 'dark' }, null, 2);

    const { text, kept } = disconnectSettings(rewritten, CONNECTION, before);

    expect(kept).toEqual([]);
    expect(JSON.parse(text)).toEqual({ ...parse(withoutBom(before)), theme: 'dark' });
  });

  test('leaves not a byte of its own, and takes none of a neighbour', () => {
    const { text: connected } = connectSettings(ODD, CONNECTION);
    const edited = connected.replace('"date"', '"uptime"');

    expect(disconnectSettings(edited, CONNECTION, ODD).text).toBe(ODD.replace('"date"', '"uptime"'));
  });

  test('keeps the comments beside what it takes out of the end of a list', () => {
    const edited = '{"env": {"TEA": "four" /* sharp */, // then\n  "A": "1" /* ours */\n}}';

    expect(disconnectSettings(edited, { env: { A: '1' }, command: 'x' }, '').text).toBe(
      '{"env": {"TEA": "four" /* sharp */ // then /* ours */\n}}',
    );
  });

  test('puts back what it replaced', () => {
    const before =
      '{"env": {"ANTHROPIC_BASE_URL": "http://other"}, "hooks": {"UserPromptSubmit": [{"hooks": [{"command": "prompt-hook.mjs"}]}]}}';
    const { text, replacedCommand } = connectSettings(before, CONNECTION);

    const edited = text.replace('{', '{"model": "opus", ');
    expect(disconnectSettings(edited, { ...CONNECTION, replacedCommand }, before)).toEqual({
      text: before.replace('{', '{"model": "opus", '),
      kept: [],
    });
  });

  test('keeps what somebody set to another value, and says which', () => {
    const { text } = connectSettings('{}', CONNECTION);

    const { text: left, kept } = disconnectSettings(text.replace('alpha', 'beta'), CONNECTION, '{}');

    expect([JSON.parse(left), kept]).toEqual([{ env: { LOOM_PROFILE: 'beta' } }, ['LOOM_PROFILE']]);
  });

  test('takes its hook out of a group that holds another one, too', () => {
    const hooks = { UserPromptSubmit: [{ hooks: [HOOK, { command: 'date' }] }] };

    const { text } = disconnectSettings(JSON.stringify({ hooks }), CONNECTION, '');

    expect(JSON.parse(text)).toEqual({ hooks: { UserPromptSubmit: [{ hooks: [{ command: 'date' }] }] } });
  });
});

test('isEmpty tells settings that hold nothing', () => {
  expect(['', '\ufeff{ }', '// tea', '{"a": 1}', '[]'].map(isEmpty)).toEqual([true, true, true, false, false]);
});

test('readConnection finds the variables and the hooks of Loom', () => {
  expect(readConnection(connectSettings(ODD, CONNECTION).text)).toEqual({
    env: { ...CONNECTION.env, TEA: 'four' },
    commands: [CONNECTION.command],
  });
  expect(readConnection('{"env": 1, "hooks": {"UserPromptSubmit": [1, {"hooks": [null]}]}}')).toEqual({
    env: {},
    commands: [],
  });
});

test('sessionSettings leaves the hook out where the settings have one', () => {
  expect(JSON.parse(sessionSettings(CONNECTION, false))).toEqual({ env: CONNECTION.env });
  expect(JSON.parse(sessionSettings(CONNECTION, true))).toEqual({
    env: CONNECTION.env,
    hooks: { UserPromptSubmit: [{ hooks: [HOOK] }] },
  });
});
