import { describe, expect, test } from '@jest/globals';
import { messageOf } from '../../../src/testing/answer.ts';
import { ClaudeCode, type ClaudeCodeOptions } from '../../../src/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '../../../src/testing/claude-code/request.ts';

const SESSION = '0d2f6b1e-7c44-4f0a-9a52-2b1f6a7c9d10';
const CALL = messageOf({ toolUses: [{ id: 'toolu_1', name: 'Bash', input: {} }] });
const bodyOf = (request: ClientRequest) => JSON.parse(request.body.toString());
const create = (options: ClaudeCodeOptions) => new ClaudeCode({ session: SESSION, ...options });

describe('ClaudeCode, headers', () => {
  test('1.0.128 writes every name in lower case and no session id', () => {
    const { method, path, headers } = create({ version: '1.0.128', hintHeaders: true }).prompt('one');

    expect([method, path]).toEqual(['POST', '/v1/messages?beta=true']);
    expect(headers).toEqual({
      accept: 'application/json',
      'content-type': 'application/json',
      'user-agent': 'claude-cli/1.0.128 (external, sdk-cli)',
      'x-stainless-arch': 'x64',
      'x-stainless-lang': 'js',
      'x-stainless-os': 'Linux',
      'x-stainless-package-version': '0.60.0',
      'x-stainless-retry-count': '0',
      'x-stainless-runtime': 'node',
      'x-stainless-runtime-version': 'v20.19.5',
      'x-stainless-timeout': '600',
      'anthropic-beta': 'claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14',
      'anthropic-dangerous-direct-browser-access': 'true',
      'anthropic-version': '2023-06-01',
      'x-api-key': 'test-key',
      'x-app': 'cli',
      'x-stainless-helper-method': 'stream',
      'accept-language': '*',
      'sec-fetch-mode': 'cors',
      'accept-encoding': 'gzip, deflate',
    });
  });

  test('2.1.330 says the session, and no hints unless told to', () => {
    const { headers } = create({ version: '2.1.330', mode: 'cli', apiKey: 'another-key' }).prompt('one');

    expect(headers).toEqual({
      Accept: 'application/json',
      'Content-Type': 'application/json',
      'User-Agent': 'claude-cli/2.1.330 (external, cli)',
      'X-Claude-Code-Session-Id': SESSION,
      'X-Stainless-Arch': 'x64',
      'X-Stainless-Lang': 'js',
      'X-Stainless-OS': 'Linux',
      'X-Stainless-Package-Version': '0.128.0',
      'X-Stainless-Retry-Count': '0',
      'X-Stainless-Runtime': 'node',
      'X-Stainless-Runtime-Version': 'v26.12.1',
      'X-Stainless-Timeout': '600',
      'anthropic-beta':
        'claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,per-turn-control-2026-07-01,' +
        'mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,effort-2025-11-24,' +
        'dangerous-tool-use-2026-09-03,thinking-display-updates-2026-08-18,afk-mode-2026-01-31',
      'anthropic-dangerous-direct-browser-access': 'true',
      'anthropic-version': '2023-06-01',
      'x-api-key': 'another-key',
      'x-app': 'cli',
      'Accept-Encoding': 'gzip, deflate, br, zstd',
    });
  });

  test.each([
    ['2.0.76', 'sdk-cli', 'claude-code-20250219,interleaved-thinking-2025-05-14'],
    [
      '2.1.118',
      'sdk-cli',
      'claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,prompt-caching-scope-2026-01-05,effort-2025-11-24',
    ],
    [
      '2.1.118',
      'cli',
      'claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,prompt-caching-scope-2026-01-05,effort-2025-11-24,redact-thinking-2026-02-12',
    ],
  ] as const)('%s (%s) asks for its betas', (version, mode, betas) => {
    const { headers } = create({ version, mode }).prompt('one');

    expect(headers['anthropic-beta']).toBe(betas);
  });
});

describe('ClaudeCode, hint headers', () => {
  const hintsOf = ({ headers }: ClientRequest) =>
    Object.fromEntries(
      Object.entries(headers).flatMap(([name, value]) =>
        name.startsWith('x-claude-code-') ? [[name.slice('x-claude-code-'.length), value]] : [],
      ),
    );

  test('name the class of each call and the prompt that it belongs to', () => {
    const promptIds: (string | undefined)[] = [];
    const client = create({
      version: '2.1.330',
      hintHeaders: true,
      hook: (_prompt, _session, promptId) => {
        promptIds.push(promptId);
        return undefined;
      },
    });

    const turn = hintsOf(client.prompt('one'));
    const title = hintsOf(client.title());
    const subagent = hintsOf(client.subagent('Count the beans.'));
    const loop = hintsOf(client.toolResults(CALL, ['ok']));
    client.receive(messageOf({ text: 'First.' }));
    const compaction = hintsOf(client.compact({ trigger: 'manual' }));
    client.compacted('<summary>Beans.</summary>');
    const afterIt = hintsOf(client.prompt('two'));
    const [one, two] = promptIds;

    const main = { 'request-class': 'main', '1p-request-class': 'main' };
    expect(one).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(two).not.toBe(one);
    expect({ turn, title, subagent, loop, compaction, afterIt }).toEqual({
      turn: { ...main, 'prompt-id': one },
      title: { 'request-class': 'auxiliary', '1p-request-class': 'summary-extraction' },
      subagent: {
        'request-class': 'subagent',
        '1p-request-class': 'blocking-subagent',
        'prompt-id': one,
        'agent-id': expect.stringMatching(/^a[0-9a-f]{16}$/),
        'agent-type': 'general-purpose',
      },
      loop: { ...main, 'prompt-id': one, 'prev-tool-durations': 'Bash=38' },
      compaction: { 'request-class': 'compaction', '1p-request-class': 'main', compaction: 'manual' },
      afterIt: { ...main, 'prompt-id': two, 'context-compacted': 'manual' },
    });
  });

  test('say only once, and not after a resume, that the context was compacted', () => {
    const compacted = (isResumed: boolean) => {
      const client = create({ version: '2.1.330', hintHeaders: true });
      client.prompt('one');
      client.receive(messageOf({ text: 'First.' }));
      client.compact({ trigger: 'auto' });
      client.compacted('<summary>Beans.</summary>');
      if (isResumed) client.resume();
      return [client.prompt('two'), client.prompt('three')].map((request) => hintsOf(request)['context-compacted']);
    };

    expect(compacted(false)).toEqual(['auto', undefined]);
    expect(compacted(true)).toEqual([undefined, undefined]);
  });

  test('are unknown to 2.1.118, whose hook is told no prompt id', () => {
    const told: unknown[] = [];
    const client = create({
      version: '2.1.118',
      hintHeaders: true,
      hook: (...given) => {
        told.push(given);
        return undefined;
      },
    });

    const { headers } = client.prompt('one');

    expect(Object.keys(headers).filter((name) => name.startsWith('x-claude-code-'))).toEqual([]);
    expect(told).toEqual([['one', SESSION, undefined]]);
  });
});

describe('ClaudeCode, bodies', () => {
  const RECENT = 'model,messages,system,tools,metadata,max_tokens,thinking,context_management,output_config,stream';

  test.each([
    [{ version: '1.0.128' }, 'model,messages,temperature,system,tools,metadata,max_tokens,stream'],
    [{ version: '2.0.76' }, 'model,messages,system,tools,metadata,max_tokens,stream'],
    [{ version: '2.1.118' }, RECENT],
    [{ version: '2.1.330' }, RECENT],
    [{ version: '2.1.330', mode: 'cli' }, RECENT.replace('output_config', 'safeguards,output_config')],
  ] satisfies [ClaudeCodeOptions, string][])('%j writes its keys in the order %s', (options, keys) => {
    expect(Object.keys(bodyOf(create(options).prompt('one'))).join()).toBe(keys);
  });

  test.each([
    ['1.0.128', 'claude-sonnet-4-20250514', 32_000],
    ['2.0.76', 'claude-sonnet-4-5-20250929', 32_000],
    ['2.1.118', 'claude-sonnet-4-6', 32_000],
    ['2.1.330', 'claude-opus-5-5', 128_000],
  ] as const)('%s asks %s for %i tokens', (version, model, maxTokens) => {
    const body = bodyOf(create({ version }).prompt('one'));

    expect([body.model, body.max_tokens, body.stream]).toEqual([model, maxTokens, true]);
  });

  test.each(['1.0.128', '2.0.76'] as const)('%s has two system blocks, both marked, and an old user id', (version) => {
    const { system, metadata } = bodyOf(create({ version }).prompt('one'));

    expect(system).toEqual([
      {
        type: 'text',
        text: "You are a Claude agent, built on Anthropic's Claude Agent SDK.",
        cache_control: { type: 'ephemeral' },
      },
      {
        type: 'text',
        text: expect.stringMatching(/^You are an interactive CLI tool/),
        cache_control: { type: 'ephemeral' },
      },
    ]);
    expect(metadata.user_id).toMatch(new RegExp(`^user_[0-9a-f]{64}_account__session_${SESSION}$`));
  });

  test.each([
    ['2.1.118', /^x-anthropic-billing-header: cc_version=2\.1\.118\.[0-9a-f]{3}; cc_entrypoint=cli; cch=[0-9a-f]{5};$/],
    ['2.1.330', /^x-anthropic-billing-header: cc_version=2\.1\.330\.[0-9a-f]{3}; cc_entrypoint=cli;$/],
  ] as const)('%s has a billing block before two marked ones, and its user id in JSON', (version, billing) => {
    const { system, metadata } = bodyOf(create({ version, mode: 'cli' }).prompt('one'));

    expect(system).toEqual([
      { type: 'text', text: expect.stringMatching(billing) },
      {
        type: 'text',
        text: "You are Claude Code, Anthropic's official CLI for Claude.",
        cache_control: { type: 'ephemeral' },
      },
      { type: 'text', text: expect.stringMatching(/^You are an /), cache_control: { type: 'ephemeral' } },
    ]);
    expect(JSON.parse(metadata.user_id)).toEqual({
      device_id: expect.stringMatching(/^[0-9a-f]{64}$/),
      account_uuid: '',
      session_id: SESSION,
    });
  });

  test('2.1.118 stamps equal bodies equally, and different ones differently', () => {
    const stamp = (prompt: string) =>
      /cch=([0-9a-f]{5});/.exec(create({ version: '2.1.118' }).prompt(prompt).body.toString())?.[1];

    const [first, again, other] = ['one', 'one', 'two'].map(stamp);

    expect([first === again, first === other, first === '00000']).toEqual([true, false, false]);
  });

  test('2.1.330 offers a search for tools and a deferred one', () => {
    const { tools } = bodyOf(create({ version: '2.1.330' }).prompt('one'));

    expect(
      tools.map(({ name, defer_loading }: { name: string; defer_loading?: boolean }) => [name, defer_loading]),
    ).toEqual([
      ['Task', undefined],
      ['Bash', undefined],
      ['Grep', undefined],
      ['Read', undefined],
      ['Edit', undefined],
      ['ToolSearch', undefined],
      ['Deferred', true],
    ]);
  });
});

describe('ClaudeCode, calls that are no turns', () => {
  /** What tells one of them from a turn. */
  function signs(request: ClientRequest) {
    const { model, system, messages, tools, stream, max_tokens } = bodyOf(request);
    return { model, system: system[0].text.split('\n')[0], messages, tools, stream, max_tokens };
  }
  const wrapper = '<user-prompt-submit-hook>It rains.</user-prompt-submit-hook>';

  test('1.0.128 takes the hook for the topic, and shows it to the one who names the session', () => {
    const client = create({ version: '1.0.128', otherHook: 'It rains.' });
    client.prompt('one');

    expect(signs(client.topic())).toEqual({
      model: 'claude-3-5-haiku-20241022',
      system: 'Analyze if this message indicates a new conversation topic.',
      messages: [{ role: 'user', content: [{ type: 'text', text: wrapper }] }],
      tools: [],
      stream: true,
      max_tokens: 512,
    });
    expect(signs(client.title())).toEqual({
      model: 'claude-3-5-haiku-20241022',
      system: 'Summarize this coding conversation in under 50 characters.',
      messages: [{ role: 'user', content: [{ type: 'text', text: `This is the conversation:\n\none\n\n${wrapper}` }] }],
      tools: [],
      stream: true,
      max_tokens: 512,
    });
  });

  test('2.0.76 asks for the topic of the prompt, and begins the answer', () => {
    const client = create({ version: '2.0.76', otherHook: 'It rains.' });
    client.prompt('one');

    expect(bodyOf(client.topic()).messages).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'one' }] },
      { role: 'assistant', content: [{ type: 'text', text: '{' }] },
    ]);
  });

  test('asks for the paths of a command', () => {
    const request = create({ version: '2.0.76' }).commandPaths('ls', 'a b');

    expect(signs(request)).toEqual({
      model: 'claude-haiku-4-5-20251001',
      system: 'Extract any file paths that this command reads or modifies.',
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Command: ls\nOutput: a b' }] }],
      tools: [],
      stream: true,
      max_tokens: 512,
    });
  });

  test.each([
    ['2.1.118', 'claude-haiku-4-5-20251001', 'Generate a concise, sentence-case title'],
    ['2.1.330', 'claude-opus-5-5', 'You are naming a coding session'],
  ] as const)('%s has %s name the session, as JSON', (version, model, opening) => {
    const client = create({ version, otherHook: 'It rains.' });
    client.prompt('one');

    const body = bodyOf(client.title());

    expect([body.model, body.system[0].text.startsWith(opening), body.tools]).toEqual([model, true, []]);
    expect(body.messages).toEqual([{ role: 'user', content: [{ type: 'text', text: 'one' }] }]);
    expect(body.output_config.format).toEqual({
      type: 'json_schema',
      schema: { type: 'object', properties: { title: { type: 'string' } }, required: ['title'] },
    });
  });

  test('2.0.76 warms up under the id of its process', () => {
    const client = create({ version: '2.0.76' });
    client.resume();

    const { tools, messages, metadata } = bodyOf(client.warmup());

    expect([tools, messages[0].content[0].text]).toEqual([[], 'Warmup']);
    expect(metadata.user_id.includes(SESSION)).toBe(false);
    expect(bodyOf(client.prompt('one')).metadata.user_id.includes(SESSION)).toBe(true);
  });

  test('2.1.330 has its commands classified, at length and without tools', () => {
    const request = create({ version: '2.1.330' }).classifier();

    const { system, tools, stream, model } = signs(request);
    expect({ system, tools, stream, model }).toEqual({
      system: 'You are a security monitor for autonomous AI coding agents.',
      tools: undefined,
      stream: false,
      model: 'claude-sonnet-5',
    });
    expect(request.body.length).toBeGreaterThan(140_000);
  });

  test.each([
    ['2.1.118', 'You are an agent for Claude Code,', undefined],
    ['2.1.330', 'You are an agent for Claude Code,', 'a3a65d29a178340e7'],
    ['1.0.128', 'You are an agent that', undefined],
  ] as const)('%s tells a subagent its task and nothing else', (version, opening, agentId) => {
    const client = create({ version, hook: () => 'context' });
    client.prompt('one');

    const request = client.subagent('Count the beans.');
    const body = bodyOf(request);

    expect(body.messages).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'Count the beans.', cache_control: { type: 'ephemeral' } }] },
    ]);
    expect(body.system.at(-1).text.startsWith(opening)).toBe(true);
    expect(body.system[0].text.includes('; cc_is_subagent=true;')).toBe(version === '2.1.330');
    expect(body.tools.map(({ name }: { name: string }) => name)).not.toContain('Task');
    expect(body.metadata.user_id.includes(SESSION)).toBe(true);
    expect(request.headers['x-claude-code-agent-id']).toBe(agentId);
  });

  test('counts the tokens of the whole conversation', () => {
    const client = create({ version: '2.1.330', hook: () => 'context' });
    const turn = bodyOf(client.prompt('one'));

    const request = client.countTokens();

    expect(request.path).toBe('/v1/messages/count_tokens?beta=true');
    expect(request.headers['anthropic-beta']?.endsWith(',token-counting-2024-11-01')).toBe(true);
    expect(bodyOf(request)).toEqual({ model: turn.model, messages: turn.messages, tools: turn.tools });
  });

  test.each([
    ['1.0.128', 'warmup', 'expected a version that warms up (2.0.76), got 1.0.128'],
    ['2.1.118', 'topic', 'expected a version that asks for a topic (1.0.128, 2.0.76), got 2.1.118'],
    ['2.0.76', 'classifier', 'expected a version that classifies (2.1.330), got 2.0.76'],
    ['2.1.118', 'countTokens', 'expected a version that counts tokens (2.1.330), got 2.1.118'],
  ] as const)('%s never sends %s', (version, call, message) => {
    expect(() => create({ version })[call]()).toThrow(message);
  });
});
