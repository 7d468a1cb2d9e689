import { describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { type ClassSigns, classify } from '../../src/core/request-class.ts';
import { assistant, cutTree, hookWrapper, text, user } from './fixtures/body.ts';

const RECENT = { 'x-claude-code-session-id': 's1' };
const SIGNS: ClassSigns = {
  headers: RECENT,
  metadata: undefined,
  metadataMessage: undefined,
  profileIsRemembered: false,
};
const BODY = { messages: [user(text('Hello'))], tools: [{ name: 'Bash' }] };
const INSTRUCTION = 'Your task is to create a detailed summary of the conversation so far, paying close attention.';
const CONTINUATION = 'This session is being continued from a previous conversation that ran out of context.';

const classOf = (body: object, signs: Partial<ClassSigns> = {}) => classify(cutTree(body), { ...SIGNS, ...signs });

describe('classify', () => {
  test.each([
    ['main', 'main'],
    ['subagent', 'subagent'],
    ['workflow', 'subagent'],
    ['compaction', 'compaction'],
    ['auxiliary', 'auxiliary'],
    ['side_reply', 'auxiliary'],
    ['something-new', 'auxiliary'],
    ['', 'auxiliary'],
    ['__proto__', 'auxiliary'],
    ['constructor', 'auxiliary'],
    ['main, main', 'auxiliary'],
  ])('takes the client’s own word %p for %s, whatever the body says', (hint, expected) => {
    const headers = { ...RECENT, 'x-claude-code-request-class': hint };

    expect([classOf(BODY, { headers }), classOf({ messages: [user(text(INSTRUCTION))] }, { headers })]).toEqual([
      expected,
      expected,
    ]);
  });

  test.each([
    ['at the end of a tool result’s message', [user({ type: 'tool_result' }, text(INSTRUCTION))], 'compaction'],
    ['as a string', [{ role: 'user', content: INSTRUCTION }], 'compaction'],
    [
      'behind the newer opening',
      [user(text(`CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.\n\n${INSTRUCTION}`))],
      'compaction',
    ],
    ['in front of a system message', [user(text(INSTRUCTION)), { role: 'system', content: 'Rules.' }], 'compaction'],
    ['quoted in mid-text', [user(text(`What does "${INSTRUCTION}" mean?`))], 'main'],
    ['in an earlier text', [user(text(INSTRUCTION), text('What does that mean?'))], 'main'],
    ['in an earlier message', [user(text(INSTRUCTION)), assistant(text('a')), user(text('Go on.'))], 'main'],
    ['in a tool’s result', [user({ type: 'tool_result', content: INSTRUCTION })], 'main'],
    ['in an answer', [user(text('a')), assistant(text(INSTRUCTION))], 'main'],
  ])('finds the instruction where a compaction has it: %s', (_, messages, expected) => {
    expect(classOf({ ...BODY, messages })).toBe(expected);
  });

  test('believes that the instruction was typed only of the block that belongs to it', () => {
    const tree = cutTree({ ...BODY, messages: [user(text('earlier')), assistant(text('a')), user(text(INSTRUCTION))] });
    const metadata = { canary: CANARY, prompt: INSTRUCTION } as const;
    const classWith = (at: number) => classify(tree, { ...SIGNS, metadata, metadataMessage: tree.messages[at] });

    expect([classWith(0), classWith(2)]).toEqual(['compaction', 'main']);
  });

  test.each([
    ['the agent id in a header', BODY, { headers: { 'x-claude-code-agent-id': 'a1' } }],
    ['the system prompt', { ...BODY, system: [text('You are an agent for Claude Code, given one task.')] }, {}],
    [
      'the billing block',
      { ...BODY, system: [text('x-anthropic-billing-header: cc_version=1; cc_is_subagent=true;')] },
      {},
    ],
    [
      'the system prompt, in its own compaction',
      { ...BODY, messages: [user(text(INSTRUCTION))], system: 'You are an agent for Claude Code, given one task.' },
      {},
    ],
    ['no block where an older client has one', BODY, { headers: {}, profileIsRemembered: true }],
  ])('knows a subagent by %s', (_, body, signs) => {
    expect(classOf(body, signs)).toBe('subagent');
  });

  test('takes an older client’s call without a block for main after a compaction, or when its profile is not remembered', () => {
    const continued = { ...BODY, messages: [user(text(CONTINUATION))] };

    expect([
      classOf(continued, { headers: {}, profileIsRemembered: true }),
      classOf(BODY, { headers: {}, profileIsRemembered: false }),
    ]).toEqual(['main', 'main']);
  });

  test.each([
    ['no tools', { messages: BODY.messages }],
    ['an empty list of tools', { ...BODY, tools: [] }],
    ['tools of an unknown shape', { ...BODY, tools: null }],
    ['an answer in a format', { ...BODY, output_config: { format: { type: 'json_schema' } } }],
    ['a title’s system prompt', { ...BODY, system: 'You are naming a coding session.' }],
  ])('knows an auxiliary call by %s', (_, body) => {
    expect(classOf(body)).toBe('auxiliary');
  });

  test('takes a call without tools for main when it names its profile and something was said', () => {
    const headers = { ...RECENT, 'x-loom-profile': 'alpha' };
    const topic = { messages: [user(text(hookWrapper()))] };

    expect([
      classOf({ messages: BODY.messages }, { headers }),
      classOf(topic, { headers }),
      classOf({ messages: [] }, { headers }),
    ]).toEqual(['main', 'auxiliary', 'auxiliary']);
  });

  test('knows a warm-up by its only word', () => {
    const warmup = { messages: [user(text('Warmup'))], tools: [] };

    expect([
      classOf(warmup),
      classOf({ ...warmup, tools: BODY.tools }),
      classOf({ messages: [...warmup.messages, assistant(text('a'))] }),
    ]).toEqual(['probe', 'main', 'auxiliary']);
  });
});
