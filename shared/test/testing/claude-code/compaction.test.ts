import { describe, expect, test } from '@jest/globals';
import { messageOf } from '../../../src/testing/answer.ts';
import { ClaudeCode, type ClaudeCodeOptions } from '../../../src/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '../../../src/testing/claude-code/request.ts';

const MARK = { cache_control: { type: 'ephemeral' } };
const CALL = messageOf({ toolUses: [{ id: 'toolu_1', name: 'Bash', input: {} }] });
const ANSWER = '<analysis>\nWe sowed.\n</analysis>\n\n<summary>\nBeans in row 3.\n</summary>';
const hook = (prompt: string) => `{"said":"${prompt}"}`;
const VERSIONS = ['1.0.128', '2.0.76', '2.1.118', '2.1.330'] as const;

interface Text {
  type: string;
  text: string;
}
const bodyOf = (request: ClientRequest) => JSON.parse(request.body.toString());
const listed = (content: string | Text[]): Text[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : content;
const instructionOf = (request: ClientRequest): string =>
  listed(bodyOf(request).messages.at(-1).content).at(-1)?.text ?? '';

/** Each message as its role and the beginnings of its texts: what a table of the facts says. */
function outline(request: ClientRequest): string[] {
  return bodyOf(request).messages.map(({ role, content }: { role: string; content: string | Text[] }) => {
    const form = typeof content === 'string' ? 'string' : 'list';
    const texts = listed(content).map(({ type, text = type }) => text.replace('<system-reminder>\n', '').slice(0, 24));
    return [role, form, ...texts].join(' | ');
  });
}

function started(options: ClaudeCodeOptions): ClaudeCode {
  const client = new ClaudeCode({ hook, ...options });
  client.prompt('one');
  client.receive(messageOf({ text: 'First.' }));
  return client;
}

const SUMMARIZER = 'You are a helpful AI assistant tasked with summarizing conversations.';

describe('ClaudeCode.compact', () => {
  test.each([
    ['1.0.128', [SUMMARIZER, ['Read'], 'claude-sonnet-4-20250514', 20_000]],
    ['2.0.76', [SUMMARIZER, ['Read'], 'claude-sonnet-4-5-20250929', 20_000]],
    ['2.1.118', ['You are an interactive agent', 5, 'claude-sonnet-4-6', 20_000]],
    ['2.1.330', ['You are an agent working with the user', 7, 'claude-opus-5-5', 128_000]],
  ] as const)('%s asks with this system prompt, these tools, this model and this limit', (version, expected) => {
    const { system, tools, model, max_tokens } = bodyOf(started({ version }).compact({ trigger: 'manual' }));

    const [opening, offered, ...rest] = expected;
    expect(system.at(-1).text.startsWith(opening)).toBe(true);
    expect(typeof offered === 'number' ? tools.length : tools.map(({ name }: { name: string }) => name)).toEqual(
      offered,
    );
    expect([model, max_tokens]).toEqual(rest);
  });

  test.each(['1.0.128', '2.0.76'] as const)('%s opens with the task and ends with the example', (version) => {
    const request = started({ version }).compact({ trigger: 'manual' });

    expect(instructionOf(request)).toMatch(
      /^Your task is to create a detailed summary of the conversation so far, paying close attention to [\s\S]*<\/example>\n$/,
    );
    expect(bodyOf(request).messages.at(-1).content).toHaveLength(1);
  });

  test.each(['2.1.118', '2.1.330'] as const)('%s forbids tools before and after, in a string', (version) => {
    const request = started({ version }).compact({ trigger: 'manual' });

    expect(instructionOf(request)).toMatch(
      /^CRITICAL: Respond with TEXT ONLY\. Do NOT call any tools\.\n\n- [\s\S]*\n\nYour task is to create a detailed summary of the conversation so far, paying close attention to [\s\S]*\n\nREMINDER: Do NOT call any tools\. .*you will fail the task\.$/,
    );
    expect(typeof bodyOf(request).messages.at(-1).content).toBe('string');
    expect(bodyOf(request).messages.at(-2).content.at(-1)).toEqual({ type: 'text', text: 'First.', ...MARK });
  });

  test('passes the arguments of /compact on', () => {
    const client = started({ version: '2.1.330' });

    const plain = instructionOf(client.compact({ trigger: 'manual' }));
    const asked = instructionOf(client.compact({ trigger: 'manual', args: 'Keep the beans.' }));

    expect(asked).toBe(plain.replace('\nREMINDER:', '\nAdditional Instructions:\nKeep the beans.\n\nREMINDER:'));
  });

  test.each(VERSIONS)('%s looks the same when it was not asked for', (version) => {
    const manual = started({ version }).compact({ trigger: 'manual' });
    const auto = started({ version }).compact({ trigger: 'auto' });

    expect(auto).toEqual(manual);
  });

  test.each(VERSIONS)('%s appends the instruction to the tool results in a tool loop', (version) => {
    const client = started({ version });
    client.prompt('two');

    const { messages } = bodyOf(client.compact({ trigger: 'auto', midToolLoop: { message: CALL, results: ['ok'] } }));

    expect(messages.at(-1).content).toEqual([
      { tool_use_id: 'toolu_1', type: 'tool_result', content: 'ok' },
      { type: 'text', text: expect.stringContaining('Your task is to create a detailed summary of'), ...MARK },
    ]);
  });

  test.each([
    ['1.0.128', ['two', '<user-prompt-submit-hook', 'Your task is to create a']],
    ['2.0.76', ['UserPromptSubmit hook su', 'UserPromptSubmit hook ad', 'two', 'Your task is to create a']],
    ['2.1.118', ['UserPromptSubmit hook ad', 'two', 'CRITICAL: Respond with T']],
    ['2.1.330', ['CRITICAL: Respond with T']],
  ] as const)('%s sends with the instruction what the user had just said: %j', (version, texts) => {
    const request = started({ version }).compact({ trigger: 'auto', newPrompt: 'two' });

    expect(outline(request).at(-1)?.split(' | ').slice(2)).toEqual(texts);
    expect(request.body.includes('{\\"said\\":\\"two\\"}')).toBe(version !== '2.1.330');
  });

  test.each(VERSIONS)('%s has a prompt summarised that got no answer', (version) => {
    const client = started({ version });
    client.prompt('unheard');

    const request = client.compact({ trigger: 'auto', newPrompt: 'two' });

    expect(request.body.includes('"unheard"')).toBe(true);
  });

  test('2.1.330 asks once more when there was no summary', () => {
    const client = started({ version: '2.1.330' });
    const first = instructionOf(client.compact({ trigger: 'manual' }));

    const again = instructionOf(client.compactAgain());

    expect(again.startsWith(`${first}\n\nFor this reply only: write what the instructions above ask for`)).toBe(true);
  });
});

describe('ClaudeCode.compacted', () => {
  const RAN_OUT = 'This session is being continued from a previous conversation that ran out of context.';
  const OLD_TEXT = `${RAN_OUT} The conversation is summarized below:\nAnalysis:\nWe sowed.\n\nSummary:\nBeans in row 3..`;
  const OLD_GO_ON =
    '\nPlease continue the conversation from where we left it off without asking the user any further questions. Continue with the last task that you were asked to work on.';
  const TEXT =
    `${RAN_OUT} The summary below covers the earlier portion of the conversation.\n\nSummary:\nBeans in row 3.\n\n` +
    'If you need specific details from before compaction (the exact text of a file, say), read the full transcript at: /home/user/.claude/projects/-work-garden/SESSION.jsonl\n';
  const GO_ON =
    'Continue the conversation from where it left off without asking the user any further questions. Resume directly — do not acknowledge the summary, and do not announce that you resume.';
  const TAIL =
    '<system-reminder>\n<tools-used-before-summary>Bash</tools-used-before-summary>\n</system-reminder>\n' +
    `${GO_ON}\n\nThe messages after this summary are the most recent messages from before compaction, kept verbatim. Read them as the newest part of the conversation.`;

  test.each([
    ['1.0.128', 'manual', OLD_TEXT],
    ['1.0.128', 'auto', OLD_TEXT + OLD_GO_ON],
    ['2.0.76', 'manual', OLD_TEXT],
    ['2.0.76', 'auto', OLD_TEXT + OLD_GO_ON],
    ['2.1.118', 'manual', TEXT],
    ['2.1.118', 'auto', TEXT + GO_ON],
    ['2.1.330', 'manual', TEXT + TAIL],
    ['2.1.330', 'auto', TEXT + TAIL],
  ] as const)('%s continues after a compaction (%s) with its own words', (version, trigger, expected) => {
    const client = started({ version, session: 'SESSION' });
    client.compact(trigger === 'auto' ? { trigger, newPrompt: 'two' } : { trigger });

    client.compacted(ANSWER);
    const request = trigger === 'auto' ? client.continueAfterCompaction() : client.prompt('two');

    expect(listed(bodyOf(request).messages[0].content)[0]?.text).toBe(expected);
  });

  const COMMANDS = ['<local-command-caveat>Th', '<command-name>/compact</', '<local-command-stdout>Co'];
  const OPENING = 'This session is being co';

  test.each([
    [{ version: '1.0.128' }, [['user', 'list', OPENING, ...COMMANDS, 'two', '<user-prompt-submit-hook']]],
    [
      { version: '2.0.76' },
      [['user', 'list', OPENING, ...COMMANDS, 'UserPromptSubmit hook su', 'UserPromptSubmit hook ad', 'two']],
    ],
    [{ version: '2.1.118' }, [['user', 'list', OPENING, ...COMMANDS, 'UserPromptSubmit hook ad', 'two']]],
    [{ version: '2.1.118', mode: 'cli' }, [['user', 'list', 'UserPromptSubmit hook ad', OPENING, ...COMMANDS, 'two']]],
    [
      { version: '2.1.330', model: 'claude-opus-4-6' },
      [
        ['user', 'string', OPENING],
        ['assistant', 'list', 'First.'],
        ['user', 'list', ...COMMANDS, 'UserPromptSubmit hook ad', 'two'],
      ],
    ],
    [
      { version: '2.1.330' },
      [
        ['user', 'string', OPENING],
        ['system', 'list'],
        ['assistant', 'list', 'First.'],
        ['user', 'list', ...COMMANDS, 'two'],
        ['system', 'list', 'UserPromptSubmit hook ad'],
      ],
    ],
  ] satisfies [ClaudeCodeOptions, string[][]][])('%j goes on after /compact with %j', (options, expected) => {
    const client = started(options);
    client.compact({ trigger: 'manual' });
    client.compacted(ANSWER);

    const request = client.prompt('two');

    expect(outline(request)).toEqual(expected.map((parts) => parts.join(' | ')));
    expect(request.body.includes('{\\"said\\":\\"two\\"}')).toBe(true);
  });

  test.each(['1.0.128', '2.0.76', '2.1.118'] as const)(
    '%s goes on by itself with the continuation alone',
    (version) => {
      const atPrompt = started({ version });
      atPrompt.compact({ trigger: 'auto', newPrompt: 'two' });
      atPrompt.compacted(ANSWER);
      const inLoop = started({ version });
      inLoop.compact({ trigger: 'auto', midToolLoop: { message: CALL, results: ['ok'] } });
      inLoop.compacted(ANSWER);

      const requests = [atPrompt.continueAfterCompaction(), inLoop.continueAfterCompaction()];

      expect(requests.map(outline)).toEqual([[`user | list | ${OPENING}`], [`user | list | ${OPENING}`]]);
      expect(requests.map(({ body }) => body.includes('said'))).toEqual([false, false]);
    },
  );

  test('2.1.330 keeps the new prompt and its context, and loses the context only in a tool loop', () => {
    const atPrompt = started({ version: '2.1.330' });
    atPrompt.compact({ trigger: 'auto', newPrompt: 'two' });
    atPrompt.compacted(ANSWER);
    const inLoop = started({ version: '2.1.330' });
    inLoop.compact({ trigger: 'auto', midToolLoop: { message: CALL, results: ['ok'] } });
    inLoop.compacted(ANSWER);

    const requests = [atPrompt.continueAfterCompaction(), inLoop.continueAfterCompaction()];

    expect(requests.map(outline)).toEqual([
      [
        `user | string | ${OPENING}`,
        'assistant | list | First.',
        'user | string | two',
        'system | list | UserPromptSubmit hook ad',
      ],
      [
        `user | string | ${OPENING}`,
        'assistant | list | tool_use',
        'user | list | tool_result',
        'system | list | # Project rules\n- The le',
      ],
    ]);
    expect(requests.map(({ body }) => body.includes('said'))).toEqual([true, false]);
  });

  test('goes on by itself only after an automatic compaction', () => {
    const client = started({ version: '2.1.330' });
    client.compact({ trigger: 'manual' });
    client.compacted(ANSWER);

    expect(() => client.continueAfterCompaction()).toThrow('expected an automatic compaction that is complete');
    expect(() => client.compacted(ANSWER)).toThrow('expected a compaction under way: call compact first');
  });

  test('says an empty role-system message with its effort', () => {
    const client = started({ version: '2.1.330' });
    client.compact({ trigger: 'manual' });
    client.compacted(ANSWER);

    expect(bodyOf(client.prompt('two')).messages[1]).toEqual({
      role: 'system',
      content: [],
      output_config: { effort: 'high' },
    });
  });

  test.each([
    ['1.0.128', 1],
    ['2.0.76', 3],
    ['2.1.118', 3],
  ] as const)('%s has %i messages when the session is resumed before the next prompt', (version, count) => {
    const client = started({ version });
    client.compact({ trigger: 'manual' });
    client.compacted(ANSWER);

    client.resume();
    const request = client.prompt('two');
    const { messages } = bodyOf(request);

    expect(messages).toHaveLength(count);
    expect(request.body.toString().split('<command-name>')).toHaveLength(2);
    if (count === 3)
      expect(messages[1]).toMatchObject({ role: 'assistant', content: [{ text: 'No response requested.' }] });
  });

  test.each(VERSIONS)('%s keeps the continuation as its first message until the next compaction', (version) => {
    const client = started({ version });
    client.compact({ trigger: 'auto', newPrompt: 'two' });
    client.compacted(ANSWER);
    client.continueAfterCompaction();
    client.receive(messageOf({ text: 'Second.' }));

    const before = listed(bodyOf(client.prompt('three')).messages[0].content)[0]?.text;
    client.receive(messageOf({ text: 'Third.' }));
    client.compact({ trigger: 'manual' });
    client.compacted('<summary>Peas, too.</summary>');
    const after = listed(bodyOf(client.prompt('four')).messages[0].content)[0]?.text;

    expect([before?.includes('Beans in row 3.'), after?.includes('Peas, too.'), after?.includes('Beans')]).toEqual([
      true,
      true,
      false,
    ]);
  });

  test('changes the three digits of the billing block', () => {
    const client = started({ version: '2.1.330' });
    const digits = (request: ClientRequest) =>
      /cc_version=2\.1\.330\.([0-9a-f]{3});/.exec(bodyOf(request).system[0].text)?.[1];
    const compaction = client.compact({ trigger: 'manual' });
    client.compacted(ANSWER);

    expect(digits(client.prompt('two'))).not.toBe(digits(compaction));
  });
});
