import { describe, expect, test } from '@jest/globals';
import { chatSpan, chatSpanIdOf } from '../../src/core/chat-span.ts';
import type { SpanData } from '../../src/core/span-data.ts';
import type { Call } from '../../src/core/turn.ts';
import { call, OPTIONS, SESSION, START, said, TRACE } from '../sample-turn.ts';

const PLACE = {
  traceId: TRACE,
  session: SESSION,
  turn: 'turn-1',
  profile: 'alpha',
  endedBy: START + 9_000,
};

function spanOf(changes: Partial<Call> = {}): SpanData {
  return chatSpan(call(changes), PLACE, OPTIONS) as SpanData;
}

describe('chatSpan', () => {
  test('tells a call by both conventions', () => {
    expect(spanOf({ responseModel: 'claude-opus-5-20260801' })).toEqual({
      traceId: TRACE,
      spanId: chatSpanIdOf(TRACE, 'r1'),
      parentSpanId: '1111111111111111',
      name: 'chat claude-opus-5',
      kind: 'client',
      startedAt: START + 120,
      endedAt: START + 1_100,
      attributes: {
        'openinference.span.kind': 'LLM',
        'session.id': SESSION,
        'gen_ai.conversation.id': SESSION,
        'loom.turn.id': 'turn-1',
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'anthropic',
        'llm.system': 'anthropic',
        'llm.provider': 'anthropic',
        'gen_ai.request.model': 'claude-opus-5',
        'llm.request.model_name': 'claude-opus-5',
        'llm.response.model_name': 'claude-opus-5-20260801',
        'llm.model_name': 'claude-opus-5-20260801',
        'server.address': 'api.anthropic.com',
        'server.port': 443,
        'gen_ai.request.stream': true,
        'loom.request.id': 'r1',
        'loom.request.class': 'main',
        'loom.profile': 'alpha',
        'tag.tags': ['main', 'alpha'],
        'gen_ai.response.id': 'msg_1',
        'gen_ai.response.model': 'claude-opus-5-20260801',
        'anthropic.request_id': 'req_1',
        'http.response.status_code': 200,
        'gen_ai.response.finish_reasons': ['end_turn'],
        'llm.finish_reason': 'end_turn',
        'gen_ai.response.time_to_first_chunk': 0.2,
        'loom.response.time_to_first_content': 0.3,
        'loom.end.reason': 'complete',
        'loom.input.bytes': 800,
        'gen_ai.usage.input_tokens': 1_210,
        'gen_ai.usage.output_tokens': 50,
        'gen_ai.usage.cache_read.input_tokens': 1_000,
        'gen_ai.usage.cache_write.input_tokens': 200,
        'gen_ai.usage.cache_creation.input_tokens': 200,
        'llm.token_count.prompt': 1_210,
        'llm.token_count.completion': 50,
        'llm.token_count.total': 1_260,
        'llm.token_count.prompt_details.cache_read': 1_000,
        'llm.token_count.prompt_details.cache_write': 200,
        'loom.usage.cache_creation.5m': 200,
        'llm.cost.prompt': 0.0018,
        'llm.cost.completion': 0.00125,
        'llm.cost.total': 0.00305,
        'llm.cost.prompt_details.input': 0.00005,
        'llm.cost.prompt_details.cache_read': 0.0005,
        'llm.cost.prompt_details.cache_write': 0.00125,
        'operation.cost': 0.00305,
        'loom.prices.version': 'anthropic-2026-11',
        'input.value': 'What colour is the door?',
        'input.mime_type': 'text/plain',
        'output.value': 'The door is blue.',
        'output.mime_type': 'text/plain',
        'loom.capture.mode': 'delta',
        'loom.input.messages.count': 3,
        'loom.input.messages.omitted': 2,
        'gen_ai.request.max_tokens': 1_024,
        'llm.invocation_parameters': '{"max_tokens":1024}',
        'gen_ai.input.messages': '[{"role":"user","parts":[{"type":"text","content":"What colour is the door?"}]}]',
        'gen_ai.output.messages':
          '[{"role":"assistant","parts":[{"type":"text","content":"The door is blue."}],"finish_reason":"stop"}]',
      },
      events: [
        { name: 'first_chunk', at: START + 320 },
        { name: 'first_content', at: START + 420 },
      ],
      links: [],
      status: 'unset',
    });
  });

  test('says what the answer said of the account’s limits', () => {
    const rateLimits = {
      'anthropic-ratelimit-unified-5h-utilization': '0.31',
      'anthropic-ratelimit-unified-5h-status': 'allowed',
      'anthropic-ratelimit-requests-remaining': '49',
      'anthropic-ratelimit-unified-fallback': '',
    };

    const limits = Object.entries(spanOf({ rateLimits }).attributes).filter(([name]) => name.includes('ratelimit'));

    expect(Object.fromEntries(limits)).toEqual({
      'anthropic.ratelimit.unified-5h-utilization': 0.31,
      'anthropic.ratelimit.unified-5h-status': 'allowed',
      'anthropic.ratelimit.requests-remaining': 49,
      'anthropic.ratelimit.unified-fallback': '',
    });
  });

  test('leaves caches out that were not used', () => {
    const { attributes } = spanOf({ usage: { input_tokens: 5, cache_read_input_tokens: 0, output_tokens: 1 } });

    expect(Object.keys(attributes).filter((name) => name.includes('cache'))).toEqual([]);
  });

  test('has no cost for a model whose price is not known, but its tokens', () => {
    const { attributes } = spanOf({ responseModel: 'claude-unknown' });

    expect(Object.keys(attributes).filter((name) => name.includes('cost') || name.includes('prices'))).toEqual([]);
    expect(attributes['llm.token_count.total']).toBe(1_260);
  });

  test('costs what the model costs that answered, which need not be the one that was asked for', () => {
    const fallen = spanOf({ model: 'claude-opus-5', responseModel: 'claude-haiku-4-5-20251001' }).attributes;
    const asked = spanOf({ model: 'claude-haiku-4-5', responseModel: null }).attributes;

    expect(fallen['llm.cost.total']).toBe(asked['llm.cost.total']);
    expect([fallen['gen_ai.request.model'], fallen['llm.model_name']]).toEqual([
      'claude-opus-5',
      'claude-haiku-4-5-20251001',
    ]);
    expect([asked['gen_ai.response.model'], asked['llm.model_name']]).toEqual([undefined, 'claude-haiku-4-5']);
  });

  test.each<[Partial<Call>, string, string | undefined]>([
    [{ endReason: 'complete' }, 'unset', undefined],
    [{ endReason: 'client_closed' }, 'unset', undefined],
    [{ endReason: 'upstream_aborted' }, 'error', 'upstream_aborted'],
    [{ endReason: 'upstream_aborted', errorType: 'ECONNRESET' }, 'error', 'ECONNRESET'],
    [{ endReason: 'upstream_error', errorType: 'overloaded_error' }, 'error', 'overloaded_error'],
    [{ endReason: 'upstream_error', status: 529, errorType: 'overloaded_error' }, 'error', 'overloaded_error'],
    [{ endReason: 'upstream_error', status: 502 }, 'error', '502'],
    [{ endReason: 'complete', status: 400, errorType: 'invalid_request_error' }, 'error', 'invalid_request_error'],
    [{ endReason: 'timeout', status: null }, 'error', 'timeout'],
    [{ endReason: 'shutdown' }, 'error', 'shutdown'],
  ])('says of %j that it is %s', (changes, status, errorType) => {
    const span = spanOf(changes);

    expect([span.status, span.attributes['error.type']]).toEqual([status, errorType]);
    expect(span.attributes['loom.end.reason']).toBe(changes.endReason);
    expect(span.attributes['loom.usage.partial']).toBe(changes.endReason === 'complete' ? undefined : true);
  });

  test('links a retry to the call that failed', () => {
    const { links, attributes } = spanOf({ requestId: 'r2', retryOf: 'r1' });

    expect(links).toEqual([{ traceId: TRACE, spanId: chatSpanIdOf(TRACE, 'r1') }]);
    expect(attributes['loom.retry.of']).toBe('r1');
  });

  test.each<[string, Partial<Call>, string]>([
    ['its text', {}, 'The door is blue.'],
    [
      'its text as it was captured',
      { text: 'secret', ...said({ output: [{ type: 'text', text: '[redacted]' }] }) },
      '[redacted]',
    ],
    [
      'the tools it calls',
      { text: '', ...said({ output: [{ type: 'tool_use', id: 't', name: 'Bash', input: {} }] }) },
      '(calls Bash)',
    ],
    ['why it ended', { text: '', ...said({ output: [] }) }, '(end_turn)'],
  ])('has an output where there is an answer: %s', (_, changes, output) => {
    expect(spanOf(changes).attributes['output.value']).toBe(output);
  });

  test('has an output where nothing is captured, too, for Phoenix would fill it with ids', () => {
    const { attributes } = chatSpan(call(), PLACE, { ...OPTIONS, capture: 'none' }) as SpanData;

    expect([attributes['output.value'], attributes['input.value']]).toEqual(['(not captured)', undefined]);
  });

  test.each<[string, Partial<Call>, string | undefined]>([
    ['what a person typed', {}, 'What colour is the door?'],
    [
      'what a person typed, before reminders',
      said({
        input: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'And now?' },
              { type: 'text', text: '<system-reminder>be nice</system-reminder>' },
            ],
          },
          { role: 'system', content: [{ type: 'text', text: 'a hook said this' }] },
        ],
      }),
      'And now?',
    ],
    [
      'what a tool gave back',
      said({ input: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: 'door.txt' }] }] }),
      'door.txt',
    ],
    ['nothing', said({ input: [] }), undefined],
  ])('takes for its input %s', (_, changes, input) => {
    expect(spanOf(changes).attributes['input.value']).toBe(input);
  });

  test('takes what the user typed for the input of the call that it opened, where nobody captured it', () => {
    const { captured: _, ...bare } = call();

    const span = chatSpan(bare, { ...PLACE, prompt: 'Hello?' }, OPTIONS);

    expect(span?.attributes['input.value']).toBe('Hello?');
  });

  test('names a model as price tables do, and as the client asked for it', () => {
    const { name, attributes } = spanOf({ model: 'claude-opus-4-6[1m]' });

    expect([name, attributes['gen_ai.request.model'], attributes['llm.model_name']]).toEqual([
      'chat claude-opus-4-6[1m]',
      'claude-opus-4-6[1m]',
      'claude-opus-4-6',
    ]);
  });

  test('names the subagent whose call it was', () => {
    expect(spanOf({ class: 'subagent', agentId: 'agent_1' }).attributes['loom.agent.id']).toBe('agent_1');
  });

  test('counts what was left out before, and what finds no room', () => {
    const message = { role: 'user', content: new Array(3).fill({ type: 'text', text: 'x'.repeat(15_000) }) };

    const { attributes } = spanOf(said({ input: [message, message], inputOmitted: 7 }));

    expect([attributes['loom.input.messages.count'], attributes['loom.input.messages.omitted']]).toEqual([9, 8]);
    expect(attributes['loom.capture.truncated']).toBe(true);
  });

  test('says that something was cut where the gateway has cut it', () => {
    expect(spanOf(said({ truncated: true })).attributes['loom.capture.truncated']).toBe(true);
  });

  test('marks a compaction, and the first call after one', () => {
    const marks = [spanOf({ class: 'compaction' }), spanOf({ contextCompacted: 'auto' }), spanOf()];

    expect(marks.map(({ attributes }) => attributes['gen_ai.conversation.compacted'])).toEqual([true, true, undefined]);
  });
});
