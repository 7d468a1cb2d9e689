import { describe, expect, test } from '@jest/globals';
import type { CaptureMode } from '@loom/shared/event.ts';
import { holds } from '@loom/shared/testing/law.ts';
import { agentSpanIdOf, turnSpanIdOf } from '@loom/shared/turn-span.ts';
import fc from 'fast-check';
import type { SpanData } from '../../src/core/span-data.ts';
import { exchangeSpans, spansOf } from '../../src/core/spans.ts';
import { danglingParents, isForPhoenix } from '../../src/core/tree.ts';
import type { Agent, Call, ToolUse, Turn } from '../../src/core/turn.ts';
import { call, OPTIONS, ROOT, SESSION, START, said, TRACE, turn, workingTurn } from '../sample-turn.ts';

const requestIds = ({ calls }: Turn) => calls.map(({ spanId }) => spanId);

/** Each span as `name < parent's name`; a parent that is not among them by its id. */
function tree(spans: SpanData[]): string[] {
  const names = new Map(spans.map(({ spanId, name }) => [spanId, name]));
  return spans.map(({ name, parentSpanId }) => {
    return parentSpanId === undefined ? name : `${name} < ${names.get(parentSpanId) ?? parentSpanId}`;
  });
}

function find(spans: SpanData[], name: string): SpanData {
  return spans.find((span) => span.name === name) as SpanData;
}

const UNDER_CLIENT = ['user-turn:s < cccccccccccccccc', 'collect-metadata < user-turn:s', 'turn < user-turn:s'];

describe('spansOf', () => {
  test('gives a turn with tools and a subagent as one tree', () => {
    expect(tree(spansOf(workingTurn(), OPTIONS))).toEqual([
      'user-turn:b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
      'collect-metadata < user-turn:b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
      'turn < user-turn:b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
      'invoke_agent Explore < execute_tool Task',
      'chat claude-opus-5 < 1111111111111111',
      'chat claude-haiku-4-5-20251001 < 2222222222222222',
      'chat claude-opus-5 < 3333333333333333',
      'execute_tool Bash < turn',
      'execute_tool Task < turn',
      'execute_tool Read < invoke_agent Explore',
    ]);
  });

  test('gives the same spans for the same turn', () => {
    expect(spansOf(workingTurn(), OPTIONS)).toEqual(spansOf(workingTurn(), OPTIONS));
  });

  test.each<[string, Partial<Turn>, string[]]>([
    ['a hook that sends its spans itself', { hook: { exportsSpans: true } }, [`turn < ${ROOT}`]],
    ['a hook in a trace of the client’s', { hook: { parentSpanId: 'cccccccccccccccc' } }, UNDER_CLIENT],
    ['the gateway', { origin: 'gateway' }, ['user-turn:s', 'turn < user-turn:s']],
    ['the session', { origin: 'session' }, ['user-turn:s', 'turn < user-turn:s']],
    ['the client', { origin: 'client', clientSpanId: 'cccccccccccccccc' }, ['turn < cccccccccccccccc']],
  ])('makes no span that another sends, in a turn that was opened by %s', (_, changes, expected) => {
    expect(tree(spansOf(turn({ session: 's', calls: [], ...changes }), OPTIONS))).toEqual(expected);
  });

  test('starts the root when the hook says, if that can be', () => {
    const startOf = (sentAt: number) =>
      spansOf(turn({ hook: { sentAt: new Date(sentAt).toISOString(), collectedMs: 12 } }), OPTIONS)
        .slice(0, 2)
        .map(({ startedAt, endedAt }) => [startedAt - START, endedAt - START]);

    expect(startOf(START - 50)).toEqual([
      [-50, 1_100],
      [-50, -38],
    ]);
    expect(startOf(START - 3_600_000)).toEqual([
      [-12, 1_100],
      [-12, 0],
    ]);
    expect(startOf(START + 20)).toEqual([
      [-12, 1_100],
      [-12, 0],
    ]);
  });

  test('tells what the turn was, what it used and what it cost', () => {
    const { kind, status, attributes } = find(spansOf(turn(), OPTIONS), 'turn');

    expect({ kind, status, attributes }).toEqual({
      kind: 'internal',
      status: 'unset',
      attributes: {
        'openinference.span.kind': 'AGENT',
        'session.id': 'b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
        'loom.turn.id': `${TRACE}-${ROOT}`,
        'loom.turn.end_reason': 'end_turn',
        'loom.trace.origin': 'hook',
        'loom.profile': 'alpha',
        'tag.tags': ['alpha'],
        'gen_ai.operation.name': 'invoke_agent',
        'gen_ai.provider.name': 'anthropic',
        'gen_ai.agent.name': 'claude-code',
        'gen_ai.conversation.id': 'b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
        'loom.turn.api_calls': 1,
        'loom.turn.tool_calls': 0,
        'loom.turn.tokens.prompt': 1_210,
        'loom.turn.tokens.completion': 50,
        'loom.turn.tokens.total': 1_260,
        'loom.turn.tokens.cache_read': 1_000,
        'loom.turn.tokens.cache_write': 200,
        'loom.turn.cost': 0.00305,
        'loom.prices.version': 'anthropic-2026-11',
        'input.value': 'What colour is the door?',
        'input.mime_type': 'text/plain',
        'output.value': 'The door is blue.',
        'output.mime_type': 'text/plain',
      },
    });
  });

  test('says of a turn that failed what failed, and of one that was stopped nothing', () => {
    const endOf = (changes: Partial<Turn>) => {
      const { status, attributes } = find(spansOf(turn(changes), OPTIONS), 'turn');
      return [status, attributes['error.type'], attributes['loom.turn.end_reason']];
    };

    expect(endOf({ endReason: 'error', errorType: 'overloaded_error' })).toEqual([
      'error',
      'overloaded_error',
      'error',
    ]);
    expect(endOf({ endReason: 'interrupted' })).toEqual(['unset', undefined, 'interrupted']);
  });

  test('shows a tool with what it was asked and what it gave back, and links both calls', () => {
    const spans = spansOf(workingTurn(), OPTIONS);
    const chat = find(spans, 'chat claude-opus-5').spanId;

    expect(find(spans, 'execute_tool Bash')).toEqual({
      traceId: TRACE,
      spanId: '902c8e139a081cab',
      parentSpanId: find(spans, 'turn').spanId,
      name: 'execute_tool Bash',
      kind: 'internal',
      startedAt: START + 1_100,
      endedAt: START + 2_000,
      attributes: {
        'openinference.span.kind': 'TOOL',
        'session.id': 'b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
        'loom.turn.id': `${TRACE}-${ROOT}`,
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.tool.name': 'Bash',
        'gen_ai.tool.type': 'function',
        'gen_ai.tool.call.id': 'toolu_1',
        'gen_ai.tool.call.arguments': '{"command":"ls"}',
        'gen_ai.tool.call.result': 'door.txt',
        'tool.name': 'Bash',
        'tool.id': 'toolu_1',
        'tool.parameters': '{"command":"ls"}',
        'loom.timing': 'inferred',
        'input.value': '{"command":"ls"}',
        'input.mime_type': 'application/json',
        'output.value': 'door.txt',
        'output.mime_type': 'text/plain',
      },
      events: [],
      links: [
        { traceId: TRACE, spanId: chat },
        { traceId: TRACE, spanId: '3333333333333333' },
      ],
      status: 'unset',
    });
  });

  test('links a tool to no chat that there is not', () => {
    const { calls, ...rest } = workingTurn();
    const [{ forwardedAt: _, ...unsent }] = calls as [Call];

    const spans = spansOf({ ...rest, calls: [unsent] }, OPTIONS);

    expect(find(spans, 'execute_tool Bash').links).toEqual([]);
  });

  test('shows a subagent with all its work, under the tool that started it', () => {
    const spans = spansOf(workingTurn(), OPTIONS);

    expect(find(spans, 'invoke_agent Explore')).toEqual({
      traceId: TRACE,
      spanId: agentSpanIdOf(TRACE, ROOT, 'agent_1'),
      parentSpanId: find(spans, 'execute_tool Task').spanId,
      name: 'invoke_agent Explore',
      kind: 'internal',
      startedAt: START + 1_200,
      endedAt: START + 1_600,
      attributes: {
        'openinference.span.kind': 'AGENT',
        'session.id': 'b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
        'loom.turn.id': `${TRACE}-${ROOT}`,
        'gen_ai.operation.name': 'invoke_agent',
        'gen_ai.provider.name': 'anthropic',
        'gen_ai.agent.id': 'agent_1',
        'gen_ai.agent.name': 'Explore',
        'gen_ai.conversation.id': 'b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
        'loom.agent.id': 'agent_1',
      },
      events: [],
      links: [],
      status: 'unset',
    });
  });

  test('shows what the user typed at the call that it opened, and at no later one', () => {
    const { captured: _, ...bare } = call();
    const calls = [bare, { ...bare, requestId: 'r2', startedAt: START + 2_000 }];

    const chats = spansOf(turn({ calls }), OPTIONS).filter(({ name }) => name.startsWith('chat '));

    expect(chats.map(({ attributes }) => attributes['input.value'])).toEqual(['What colour is the door?', undefined]);
  });

  test('shows where the user typed, unless nothing is to be seen of that', () => {
    const placeOf = (capture: CaptureMode) => {
      const { attributes } = find(spansOf(turn(), { ...OPTIONS, capture }), `user-turn:${SESSION}`);
      return [attributes['loom.cwd'], attributes['host.name'], attributes['input.value']];
    };

    expect(placeOf('delta')).toEqual(['/home/sam/project', 'loft.example', 'What colour is the door?']);
    expect(placeOf('metadata')).toEqual(['/home/sam/project', 'loft.example', undefined]);
    expect(placeOf('none')).toEqual([undefined, undefined, undefined]);
  });

  test('puts an agent under its parent, whichever of them was heard of first', () => {
    const agents = [
      { id: 'inner', parentId: 'outer', startedAt: START + 50, endedAt: START + 60 },
      { id: 'outer', startedAt: START + 10, endedAt: START + 90 },
    ];

    expect(tree(spansOf(turn({ calls: [], agents }), OPTIONS)).slice(3)).toEqual([
      'invoke_agent outer < turn',
      'invoke_agent inner < invoke_agent outer',
    ]);
  });

  test('says of a tool that it failed', () => {
    const { status, attributes } = find(spansOf(workingTurn(), OPTIONS), 'execute_tool Task');

    expect([status, attributes['error.type'], attributes['gen_ai.tool.call.result']]).toEqual([
      'error',
      'tool_error',
      'no door',
    ]);
  });

  test('ends the chat of which nobody saw the end with the turn, or when it was repeated', () => {
    const { endedAt: _, ...open } = call({ usage: null, responseId: null });
    const again = call({ requestId: 'r2', startedAt: START + 700, retryOf: 'r1' });
    const endOf = (calls: Call[]) => {
      const { endedAt, attributes } = find(spansOf(turn({ calls }), OPTIONS), 'chat claude-opus-5');
      return [endedAt - START, attributes['loom.end.reason']];
    };

    expect(endOf([open])).toEqual([1_100, 'unknown']);
    expect(endOf([open, again])).toEqual([700, 'unknown']);
  });

  test('shows none of the conversation where it is not captured', () => {
    const secret = 'CANARY';
    const block = { type: 'text', text: secret };
    const content = [
      block,
      { type: 'tool_use', id: 'toolu_1', name: 'Bash', input: { command: secret } },
      { type: 'tool_result', tool_use_id: 'toolu_1', content: secret },
      { type: 'thinking', thinking: secret },
    ];
    const everywhere = said({ input: [{ role: 'user', content }], output: content, system: [block] });
    const { tools } = workingTurn();
    const secretive = turn({
      prompt: secret,
      answer: secret,
      hook: { prompt: secret, cwd: '/home/sam', machine: { fqdn: 'loft.example' } },
      tools,
      calls: [call({ text: secret, ...everywhere }), call({ requestId: 'r3', text: secret, ...everywhere })],
    });

    const shown = (capture: 'none' | 'metadata' | 'delta') =>
      JSON.stringify(spansOf(secretive, { ...OPTIONS, capture }));
    expect(shown('delta')).toContain(secret);
    expect(shown('metadata')).not.toContain(secret);
    expect(shown('metadata')).toContain('/home/sam');
    expect(shown('none')).not.toContain(secret);
    expect(shown('metadata')).toContain('loft.example');
    expect(shown('none')).not.toMatch(/\/home\/sam|loft\.example/);
  });

  test('takes out credentials before it cuts', () => {
    const prompt = `${'a'.repeat(2_000)} sk-ant-api03-${'x'.repeat(100)} and more`;

    const [root] = spansOf(turn({ prompt }), OPTIONS);

    expect(root?.attributes['input.value']).toBe(`${'a'.repeat(2_000)} [credential] and more`);
  });

  test('gives whole trees without circles, whatever the turn', () => {
    const ids = fc.constantFrom('a', 'b', 'c', 'd');
    const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
    const time = fc.integer({ min: START, max: START + 5_000 });
    const calls = fc.uniqueArray(fc.tuple(ids, maybe(ids), fc.boolean(), fc.boolean(), fc.boolean()), {
      selector: ([id]) => id,
    });
    const tools = fc.uniqueArray(fc.tuple(ids, maybe(ids), maybe(ids), time), { selector: ([id]) => id });
    const agents = fc.uniqueArray(fc.tuple(ids, maybe(ids), maybe(ids), time), { selector: ([id]) => id });
    const origin = fc.constantFrom('hook', 'client', 'gateway', 'session');

    holds(
      fc.property(calls, tools, agents, origin, fc.boolean(), (callList, toolList, agentList, opened, own) => {
        const any = turn({
          origin: opened as Turn['origin'],
          hook: { exportsSpans: own },
          ...(opened === 'client' && { clientSpanId: 'cccccccccccccccc' }),
          calls: callList.map(([id, agentId, sent, ended, failed]) => {
            const { forwardedAt, endedAt, ...rest } = call({ requestId: id, spanId: `${id}`.repeat(16) });
            return {
              ...rest,
              ...(agentId && { agentId }),
              ...(sent && { forwardedAt }),
              ...(ended && { endedAt }),
              ...(failed && { endReason: 'upstream_error', status: 529 }),
            } as Call;
          }),
          tools: toolList.map(([id, agentId, answeredBy, startedAt]): ToolUse => {
            const use = { id, name: 'Bash', askedBy: 'a', startedAt, endedAt: startedAt - 5, isError: false };
            return { ...use, ...(agentId && { agentId }), ...(answeredBy && { answeredBy }) };
          }),
          agents: agentList.map(([id, parentId, toolUseId, startedAt]): Agent => {
            return {
              id,
              startedAt,
              endedAt: startedAt,
              ...(parentId && { parentId }),
              ...(toolUseId && { toolUseId }),
            };
          }),
        });

        const spans = spansOf(any, OPTIONS);

        const others = [...requestIds(any), 'cccccccccccccccc', ...(own ? [ROOT] : [])];
        expect(danglingParents(spans, others)).toEqual([]);
        expect(danglingParents(spans.filter(isForPhoenix), others)).toEqual([]);
        expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length);
        expect(spans.filter(({ startedAt, endedAt }) => endedAt < startedAt)).toEqual([]);
        const parents = new Map(spans.map(({ spanId, parentSpanId }) => [spanId, parentSpanId]));
        for (const { spanId } of spans) {
          let [at, steps] = [parents.get(spanId), 0];
          for (; at !== undefined && steps <= spans.length; steps += 1) at = parents.get(at);
          expect(steps).toBeLessThanOrEqual(spans.length);
        }
      }),
    );
  });

  test('keeps a span within 200 KB, and its JSON valid, however much was said', () => {
    const huge = { type: 'text', text: '"ü\u0001'.repeat(20_000) };
    const blocks = new Array(40).fill(huge);
    const messages = new Array(10).fill({ role: 'user', content: blocks });
    const loud = turn({
      prompt: huge.text,
      answer: huge.text,
      calls: [
        call({
          text: huge.text,
          model: 'm'.repeat(300_000),
          ...said({ input: messages, output: blocks, system: blocks, parameters: { stop_sequences: blocks } }),
        }),
      ],
    });

    for (const { attributes } of spansOf(loud, OPTIONS)) {
      expect(Buffer.byteLength(JSON.stringify(attributes))).toBeLessThan(400_000);
      const sizes = Object.values(attributes).map((value) => Buffer.byteLength(String(value)));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(60_000);
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(200_000);
      for (const name of ['gen_ai.input.messages', 'gen_ai.output.messages', 'gen_ai.system_instructions'])
        if (name in attributes) expect(JSON.parse(String(attributes[name])).length).toBeGreaterThan(0);
    }
    const chat = spansOf(loud, OPTIONS).find(({ name }) => name.startsWith('chat '));
    expect(chat?.attributes['loom.capture.truncated']).toBe(true);
  });
});

describe('exchangeSpans', () => {
  test('gives the chat of an exchange of no turn, which no session shows', () => {
    const probe = turn({ session: 's', origin: 'none', hook: {}, calls: [call({ class: 'probe', origin: 'none' })] });
    const spans = exchangeSpans(probe, OPTIONS);

    expect(tree(spans)).toEqual(['chat claude-opus-5 < 1111111111111111']);
    const { 'session.id': session, 'gen_ai.conversation.id': conversation } = spans[0]?.attributes ?? {};
    expect([session, conversation, spans[0]?.attributes['loom.session.id']]).toEqual([undefined, undefined, 's']);
  });

  test('gives nothing for a request that never went out', () => {
    const { forwardedAt: _, ...unsent } = call();

    expect(exchangeSpans(turn({ calls: [unsent] }), OPTIONS)).toEqual([]);
  });

  test('gives the agent of an exchange that its turn has ended without', () => {
    const { agents, calls } = workingTurn();
    const late = turn({ origin: 'session', agents, calls: calls.slice(1, 2) });

    expect(tree(exchangeSpans(late, OPTIONS))).toEqual([
      `invoke_agent Explore < ${turnSpanIdOf(TRACE, ROOT)}`,
      'chat claude-haiku-4-5-20251001 < 2222222222222222',
    ]);
  });

  test('leaves an exchange that its turn has ended without in the session, and in the turn', () => {
    const late = turn({ session: 's', origin: 'session', calls: [call({ origin: 'session' })] });

    const [chat] = exchangeSpans(late, OPTIONS);

    const names = ['session.id', 'gen_ai.conversation.id', 'loom.turn.id', 'loom.session.id'];
    expect(names.map((name) => chat?.attributes[name])).toEqual(['s', 's', late.key, undefined]);
  });
});
