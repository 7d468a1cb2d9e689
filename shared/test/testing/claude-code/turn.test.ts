import { describe, expect, test } from '@jest/globals';
import { messageOf } from '../../../src/testing/answer.ts';
import { ClaudeCode, type ClaudeCodeOptions } from '../../../src/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '../../../src/testing/claude-code/request.ts';
import { normalisedMessages, PromptCache } from '../../../src/testing/prompt-cache.ts';

const MARK = { cache_control: { type: 'ephemeral' } };
const CALL = messageOf({ text: 'I look.', toolUses: [{ id: 'toolu_1', name: 'Bash', input: { command: 'ls' } }] });

/** The five ways in which the measured clients place hook context. */
const CLIENTS: ClaudeCodeOptions[] = [
  { version: '1.0.128' },
  { version: '2.0.76' },
  { version: '2.1.118' },
  { version: '2.1.330', model: 'claude-opus-4-6' },
  { version: '2.1.330' },
];

const [OLD, REMINDERS, RECENT, OLDER_MODEL, SYSTEM] = CLIENTS as [
  ClaudeCodeOptions,
  ClaudeCodeOptions,
  ClaudeCodeOptions,
  ClaudeCodeOptions,
  ClaudeCodeOptions,
];
const hook = (prompt: string) => `{"said":"${prompt}"}`;
const hooks = { hook, otherHook: 'It rains.' };

const bodyOf = (request: ClientRequest) => JSON.parse(request.body.toString());
const messagesOf = (request: ClientRequest) => bodyOf(request).messages;
const blocks = (...texts: string[]) => texts.map((text) => ({ type: 'text', text }));
const marked = (...texts: string[]) => [
  ...blocks(...texts.slice(0, -1)),
  { ...blocks(texts.at(-1) ?? '')[0], ...MARK },
];

/** A client whose first turn is over. */
function afterOneTurn(options: ClaudeCodeOptions): ClaudeCode {
  const client = new ClaudeCode(options);
  client.prompt('one');
  client.receive(messageOf({ text: 'First.' }));
  return client;
}

describe('ClaudeCode, the newest turn', () => {
  test('1.0.128 puts one wrapper behind the prompt', () => {
    const messages = messagesOf(afterOneTurn({ ...OLD, ...hooks }).prompt('two'));

    expect(messages.at(-1)).toEqual({
      role: 'user',
      content: marked('two', '<user-prompt-submit-hook>{"said":"two"}\n\nIt rains.</user-prompt-submit-hook>'),
    });
  });

  test('2.0.76 puts a reminder for each piece of output before the prompt', () => {
    const messages = messagesOf(afterOneTurn({ ...REMINDERS, ...hooks }).prompt('two'));

    expect(messages.at(-1)).toEqual({
      role: 'user',
      content: marked(
        '<system-reminder>\nUserPromptSubmit hook success: Success\n</system-reminder>',
        '<system-reminder>\nUserPromptSubmit hook additional context: {"said":"two"}\n</system-reminder>',
        '<system-reminder>\nUserPromptSubmit hook success: It rains.\n</system-reminder>',
        'two',
      ),
    });
  });

  test.each([RECENT, OLDER_MODEL])('%j says no success, and ends the run of reminders with a line break', (options) => {
    const messages = messagesOf(afterOneTurn({ ...options, ...hooks }).prompt('two'));

    expect(messages.at(-1)).toEqual({
      role: 'user',
      content: marked(
        '<system-reminder>\nUserPromptSubmit hook additional context: {"said":"two"}\n</system-reminder>',
        '<system-reminder>\nUserPromptSubmit hook success: It rains.\n</system-reminder>\n',
        'two',
      ),
    });
  });

  test('2.1.330 with its own model says it in a role-system message', () => {
    const messages = messagesOf(afterOneTurn({ ...SYSTEM, ...hooks }).prompt('two'));

    expect(messages.slice(-2)).toEqual([
      { role: 'user', content: 'two' },
      {
        role: 'system',
        content: marked(
          'UserPromptSubmit hook success: It rains.\n\nUserPromptSubmit hook additional context: {"said":"two"}',
        ),
        output_config: { effort: 'high' },
      },
    ]);
  });

  test.each(CLIENTS)('%j adds nothing where no hook says anything', (options) => {
    const messages = messagesOf(afterOneTurn({ ...options, hook: () => undefined }).prompt('two'));

    expect(messages.at(-1)).toEqual({ role: 'user', content: marked('two') });
  });

  test('2.1.330 alone keeps a hook from closing the wrapper around it', () => {
    const told = (options: ClaudeCodeOptions) =>
      messagesOf(afterOneTurn({ ...options, hook: () => 'a</system-reminder>b' }).prompt('two')).at(-1).content[0].text;

    expect(told(RECENT)).toBe(
      '<system-reminder>\nUserPromptSubmit hook additional context: a</system-reminder>b\n</system-reminder>\n',
    );
    expect(told(OLDER_MODEL)).toBe(
      '<system-reminder>\nUserPromptSubmit hook additional context: a&lt;/system-reminder>b\n</system-reminder>\n',
    );
    expect(told(SYSTEM)).toBe('UserPromptSubmit hook additional context: a&lt;/system-reminder>b');
  });

  test('cuts or stores output above 10,000 characters', () => {
    const told = (options: ClaudeCodeOptions, length: number) =>
      messagesOf(afterOneTurn({ ...options, hook: () => 'x'.repeat(length) }).prompt('two'))
        .at(-1)
        .content.map(({ text }: { text: string }) => text)
        .join('');

    expect(told(SYSTEM, 10_000)).toBe(`UserPromptSubmit hook additional context: ${'x'.repeat(10_000)}`);
    expect(told(SYSTEM, 12_000)).toMatch(
      /^UserPromptSubmit hook additional context: <persisted-output>\nOutput too large \(11\.7KB\)\. Full output saved to: \S+\n\nPreview \(first 2KB\):\nx{2000}\n\.\.\.\n<\/persisted-output>$/,
    );
    expect(told(REMINDERS, 12_000)).toContain(
      `: ${'x'.repeat(10_000)}… [output truncated - exceeded 10000 characters]\n</system-reminder>`,
    );
  });
});

describe('ClaudeCode, the first turn', () => {
  test('2.1.118 tells the skills before the hooks and the date after them', () => {
    const [message] = messagesOf(new ClaudeCode({ ...RECENT, ...hooks }).prompt('one'));

    const texts: string[] = message.content.map(({ text }: { text: string }) => text);
    expect(texts.map((text) => text.slice(0, 60))).toEqual([
      '<system-reminder>\nThese skills are available:\n- draft-letter',
      '<system-reminder>\nUserPromptSubmit hook additional context: ',
      '<system-reminder>\nUserPromptSubmit hook success: It rains.\n<',
      '<system-reminder>\n# currentDate\nToday is 2026-11-22.\n</syste',
      'one',
    ]);
    expect(texts.map((text) => text.endsWith('</system-reminder>\n'))).toEqual([false, false, false, true, false]);
  });

  test('2.1.330 with an older model puts more reminders around the hooks', () => {
    const [message] = messagesOf(new ClaudeCode({ ...OLDER_MODEL, ...hooks }).prompt('one'));

    const openings = message.content.map(({ text }: { text: string }) => text.split('\n')[1]?.slice(0, 30));
    expect(openings).toEqual([
      '# Environment',
      'These skills are available:',
      '# Project rules',
      'UserPromptSubmit hook addition',
      'UserPromptSubmit hook success:',
      '# Mode',
      '# currentDate',
      '# Tasks',
      undefined,
    ]);
  });

  test('2.1.330 with its own model says it in the middle of a text of some 9 KB', () => {
    const [user, system] = messagesOf(new ClaudeCode({ ...SYSTEM, ...hooks }).prompt('one'));

    expect(user).toEqual({ role: 'user', content: 'one' });
    const { text } = system.content[0];
    expect(text).toMatch(/^# Environment\n/);
    expect(text).toMatch(/\n\nToday's date is 2026-11-22\.$/);
    const [before, after] = text.split(
      '\n\nUserPromptSubmit hook success: It rains.\n\nUserPromptSubmit hook additional context: {"said":"one"}\n\n',
    );
    expect([before.length > 5_000, after.length > 500, text.length > 9_000, text.length < 11_000]).toEqual(
      Array(4).fill(true),
    );
  });
});

describe('ClaudeCode, the history', () => {
  /** A turn with a tool loop between two plain ones, without hooks, so that user messages hold one text. */
  function requestsOf(options: ClaudeCodeOptions): ClientRequest[] {
    const client = new ClaudeCode(options);
    const first = client.prompt('one');
    client.receive(messageOf({ text: 'First.' }));
    const second = client.prompt('two');
    const third = client.toolResults(CALL, ['a b']);
    client.receive(messageOf({ text: 'Second.' }));
    return [first, second, third, client.prompt('three')];
  }

  test.each(CLIENTS)(
    '%j moves its marks and keeps what it said: each request begins with the one before',
    (options) => {
      const requests = requestsOf({ ...options, ...hooks }).map((request) => normalisedMessages(bodyOf(request)));

      for (const [index, earlier] of requests.slice(0, -1).entries())
        expect(requests[index + 1]?.slice(0, earlier.length)).toEqual(earlier);
    },
  );

  test.each(CLIENTS)('%j reads from the prompt cache all that it wrote before', (options) => {
    const cache = new PromptCache();

    const usages = requestsOf({ ...options, ...hooks }).map((request) => cache.record(bodyOf(request)));

    for (const [index, { cache_read_input_tokens, cache_creation_input_tokens }] of usages.slice(0, -1).entries())
      expect(usages[index + 1]).toMatchObject({
        input_tokens: 0,
        cache_read_input_tokens: cache_read_input_tokens + cache_creation_input_tokens,
      });
  });

  test.each([
    [OLD, ['assistant', 'user']],
    [REMINDERS, ['assistant', 'user']],
    [RECENT, ['user']],
    [OLDER_MODEL, ['user']],
    [SYSTEM, ['system']],
  ])('%j marks the last block of %j', (options, roles) => {
    const messages = messagesOf(requestsOf({ ...options, ...hooks })[3] as ClientRequest);

    const holders = messages.filter(({ content }: { content: unknown }) =>
      JSON.stringify(content).includes('ephemeral'),
    );
    expect(holders).toEqual(messages.slice(-roles.length));
    expect(holders.map(({ role }: { role: string }) => role)).toEqual(roles);
    expect(holders.map(({ content }: { content: object[] }) => 'cache_control' in (content.at(-1) ?? {}))).toEqual(
      roles.map(() => true),
    );
  });

  test.each([
    [OLD, blocks('one')],
    [REMINDERS, 'one'],
    [RECENT, blocks('one')],
    [OLDER_MODEL, 'one'],
  ])('%j sends an old prompt as %j', (options, content) => {
    const client = new ClaudeCode({ ...options });
    // The first turn of the recent ones is never a lone text: reminders surround it.
    const isRecent = options.version.startsWith('2.1');
    if (isRecent) {
      client.prompt('zero');
      client.receive(messageOf({ text: 'Zeroth.' }));
    }
    const at = isRecent ? 2 : 0;

    const asked = messagesOf(client.prompt('one'))[at];
    client.receive(messageOf({ text: 'First.' }));
    const later = messagesOf(client.prompt('two'))[at];

    expect(asked).toEqual({ role: 'user', content: marked('one') });
    expect(later).toEqual({ role: 'user', content });
  });

  test('2.1.330 turns its role-system message into a string, too', () => {
    const messages = messagesOf(requestsOf({ ...SYSTEM, hook })[3] as ClientRequest);

    expect(messages[4]).toEqual({
      role: 'system',
      content: 'UserPromptSubmit hook additional context: {"said":"two"}',
      output_config: { effort: 'high' },
    });
  });

  test('hands tool results back, and tells older models on 2.1.330 inside them how much room is left', () => {
    const result = (options: ClaudeCodeOptions) =>
      messagesOf(new ClaudeCode(options).toolResults(CALL, ['a b'])).slice(-2);

    expect(result(SYSTEM)).toEqual([
      { role: 'assistant', content: CALL.content },
      { role: 'user', content: [{ tool_use_id: 'toolu_1', type: 'tool_result', content: 'a b', ...MARK }] },
    ]);
    expect(result(OLDER_MODEL)[1].content[0].content).toBe(
      'a b\n\n<system-reminder>\n<total_tokens>150000</total_tokens>\n</system-reminder>',
    );
  });

  test.each(CLIENTS)('%j keeps hook context over a resume, except 2.0.76', (options) => {
    const client = afterOneTurn({ ...options, hook });

    client.resume();
    const request = client.prompt('two');

    expect(request.body.includes('{\\"said\\":\\"one\\"}')).toBe(options.version !== '2.0.76');
    expect(request.body.includes('{\\"said\\":\\"two\\"}')).toBe(true);
    expect(messagesOf(request)).toHaveLength(options === SYSTEM ? 5 : 3);
  });

  test('says the same on every run', () => {
    const bytes = () => requestsOf({ ...SYSTEM, ...hooks, hintHeaders: true });

    expect(bytes()).toEqual(bytes());
  });
});

describe('ClaudeCode, turns without an answer', () => {
  test('2.1.330 merges the prompts, and the hook lines of all behind them', () => {
    const messages = messagesOf(afterOneTurn({ ...SYSTEM, hook }).failedThenPrompt(['p1', 'p2', 'p3']));

    expect(messages.slice(3)).toEqual([
      { role: 'user', content: blocks('p1\n', 'p2\n', 'p3') },
      {
        role: 'system',
        content: marked(
          ['p1', 'p2', 'p3'].map((said) => `UserPromptSubmit hook additional context: {"said":"${said}"}`).join('\n\n'),
        ),
        output_config: { effort: 'high' },
      },
    ]);
  });

  test('2.1.118 closes a failed prompt by an exchange of its own', () => {
    const context = (said: string) =>
      `<system-reminder>\nUserPromptSubmit hook additional context: {"said":"${said}"}\n</system-reminder>\n`;

    const messages = messagesOf(afterOneTurn({ ...RECENT, hook }).failedThenPrompt(['p1', 'p2']));

    expect(messages.slice(2)).toEqual([
      { role: 'user', content: blocks(context('p1'), 'p1', 'Continue from where you left off.') },
      { role: 'assistant', content: blocks('No response requested.') },
      { role: 'user', content: marked(context('p2'), 'p2') },
    ]);
  });

  test.each([OLD, REMINDERS, OLDER_MODEL])('%j carries the context of both prompts in one message', (options) => {
    const messages = messagesOf(afterOneTurn({ ...options, hook }).failedThenPrompt(['p1', 'p2']));

    const text = JSON.stringify(messages.at(-1).content);
    expect([messages.length, text.split('said').length - 1]).toEqual([3, 2]);
  });

  test('2.1.330 with an older model merges the prompts where they stand', () => {
    const messages = messagesOf(afterOneTurn({ ...OLDER_MODEL }).failedThenPrompt(['p1', 'p2']));

    expect(messages.slice(2)).toEqual([{ role: 'user', content: marked('p1\n', 'p2') }]);
  });

  test.each(CLIENTS)('%j says in front of the next prompt that it was interrupted', (options) => {
    const client = new ClaudeCode({ ...options });
    client.prompt('zero');
    client.receive(messageOf({ text: 'Half of it.' }));

    const messages = messagesOf(client.interruptedPrompt('one'));

    expect(messages.at(-1)).toEqual({ role: 'user', content: marked('[Request interrupted by user]', 'one') });
  });

  test('2.1.118 does not take an interruption for a failure', () => {
    const client = afterOneTurn({ ...RECENT });
    client.prompt('p1');

    const messages = messagesOf(client.interruptedPrompt('p2'));

    expect(messages.slice(2)).toEqual([{ role: 'user', content: marked('p1', '[Request interrupted by user]', 'p2') }]);
  });
});

describe('ClaudeCode, commands', () => {
  test('tells the model of a shell command at once, without a hook', () => {
    const client = afterOneTurn({ ...SYSTEM, mode: 'cli', hintHeaders: true, hook });

    const request = client.bash('date', 'noon');

    expect(messagesOf(request).slice(3)).toEqual([
      {
        role: 'user',
        content: marked('<bash-input>date</bash-input>', '<bash-stdout>noon</bash-stdout><bash-stderr></bash-stderr>'),
      },
    ]);
    const { 'x-claude-code-request-class': requestClass, 'x-claude-code-prompt-id': promptId } = request.headers;
    expect([requestClass, promptId]).toEqual(['main', undefined]);
  });

  test('starts another session after /clear, and says so before the prompt', () => {
    const client = afterOneTurn({ ...REMINDERS, mode: 'cli' });
    const before = client.session;

    client.clear();
    const body = bodyOf(client.prompt('anew'));
    const title = messagesOf(client.title());

    expect(client.session).not.toBe(before);
    expect(body.metadata.user_id.endsWith(`_session_${client.session}`)).toBe(true);
    expect(body.messages).toEqual([
      {
        role: 'user',
        content: marked(
          '<local-command-caveat>The user ran this command in the client; it was not said to you.</local-command-caveat>',
          '<command-name>/clear</command-name>\n<command-message>clear</command-message>\n<command-args></command-args>',
          '<local-command-stdout></local-command-stdout>',
          'anew',
        ),
      },
    ]);
    expect(title[0].content[0].text).toBe('This is the conversation:\n\nanew');
  });
});
