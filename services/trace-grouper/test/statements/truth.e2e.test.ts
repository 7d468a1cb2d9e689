import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Answer, eventsOf, type SseEvent } from '@loom/shared/testing/answer.ts';
import type { ReceivedSpan } from '@loom/shared/testing/otlp.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { apiError, cutMidStream, hang, json, type Reply, raw, sse } from '@loom/shared/testing/reply.ts';
import { startUpstream, type Upstream } from '@loom/shared/testing/upstream.ts';
import { bodyOf } from '../../../gateway/test/e2e/forwarded.ts';
import { openWorld, talker, type World } from './world.ts';

let redis: RedisServer;
let upstream: Upstream;
let world: World;

beforeAll(async () => {
  [redis, upstream] = await Promise.all([startRedis(), startUpstream()]);
  world = await openWorld({ redis, upstream }, ['gateway', 'trace-grouper'], {
    ...{ LOOM_TURN_RETRY_MS: '100', LOOM_UPSTREAM_IDLE_MS: '2500' },
  });
  told = new Map([...conversations].map(([name, converse]) => [name, converse()]));
  await Promise.allSettled(told.values());
});
afterAll(async () => {
  await world.close();
  await Promise.all([upstream.close(), redis.close()]);
});

/** What is asked, all of it at the same time, by its name: the spans of a turn come when its end is certain. */
const conversations = new Map<string, () => Promise<ReceivedSpan[]>>();
let told: Map<string, Promise<ReceivedSpan[]>>;

const spansOf = (name: string) => told.get(name) ?? Promise.reject(new Error(`expected a conversation, got ${name}`));

/** Lets a client ask once; the spans of that turn. */
async function ask(name: string, reply: () => Reply, model?: string): Promise<ReceivedSpan[]> {
  const client = talker(name, model === undefined ? {} : { model });
  await world.deliver(client.prompt('How much?'), reply);
  return world.ended(client.session);
}

const chatOf = (spans: ReceivedSpan[]) => spans.find(({ name }) => name.startsWith('chat ')) as ReceivedSpan;

/** The attributes whose names begin so. */
function said(span: ReceivedSpan, ...prefixes: string[]): Record<string, unknown> {
  const entries = Object.entries(span.attributes);
  return Object.fromEntries(entries.filter(([name]) => prefixes.some((prefix) => name.startsWith(prefix))));
}

const frames = (events: SseEvent[]): Reply =>
  raw({
    headers: [['content-type', 'text/event-stream']],
    chunks: events.map((event) => Buffer.from(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)),
  });

/** A stream with these usages: the first at its start, each other one in a `message_delta`. */
function streamed(usages: object[], answer: Answer = { text: 'Seven.' }): Reply {
  const [start, ...deltas] = usages;
  const events = eventsOf(answer).flatMap((event): SseEvent[] => {
    if (event.type === 'message_start')
      return [{ ...event, message: { ...(event['message'] as object), usage: start } }];
    return event.type === 'message_delta' ? deltas.map((usage) => ({ ...event, usage })) : [event];
  });
  return frames(events);
}

const CACHED = { input_tokens: 10, cache_creation_input_tokens: 300, cache_read_input_tokens: 2_000 };
const SPLIT = { cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 } };

/** By both conventions: 10 + 300 + 2,000 tokens in, so many out. */
const counted = (completion: number) => ({
  'gen_ai.usage.input_tokens': 2_310,
  'gen_ai.usage.output_tokens': completion,
  'gen_ai.usage.cache_read.input_tokens': 2_000,
  'gen_ai.usage.cache_write.input_tokens': 300,
  'gen_ai.usage.cache_creation.input_tokens': 300,
  'llm.token_count.prompt': 2_310,
  'llm.token_count.completion': completion,
  'llm.token_count.total': 2_310 + completion,
  'llm.token_count.prompt_details.cache_read': 2_000,
  'llm.token_count.prompt_details.cache_write': 300,
});
const FIVE_MINUTES = { 'loom.usage.cache_creation.5m': 300 };

describe('the tokens of a call', () => {
  const cases: [string, () => Reply, object][] = [
    [
      'streamed, the start’s count of the answer corrected at its end',
      () => streamed([{ ...CACHED, output_tokens: 1 }, { output_tokens: 50 }]),
      { ...counted(50), ...FIVE_MINUTES },
    ],
    [
      'streamed with several corrections, one of which knows less',
      () =>
        streamed([{ ...CACHED, output_tokens: 1 }, { output_tokens: 20 }, { input_tokens: null, output_tokens: 50 }]),
      { ...counted(50), ...FIVE_MINUTES },
    ],
    [
      'streamed by an API that says how long the cache lasts',
      () => streamed([{ ...CACHED, ...SPLIT, output_tokens: 1 }, { output_tokens: 50 }]),
      { ...counted(50), 'loom.usage.cache_creation.5m': 100, 'loom.usage.cache_creation.1h': 200 },
    ],
    [
      'not streamed',
      () => json({ text: 'Seven.', usage: { ...CACHED, output_tokens: 50 } }),
      { ...counted(50), ...FIVE_MINUTES },
    ],
    [
      'refused',
      () => streamed([{ ...CACHED, output_tokens: 1 }, { output_tokens: 4 }], { text: 'No.', stopReason: 'refusal' }),
      { ...counted(4), ...FIVE_MINUTES },
    ],
    [
      'compressed',
      () => sse({ text: 'Seven.', encoding: 'gzip', usage: { ...CACHED, output_tokens: 50 } }),
      { ...counted(50), ...FIVE_MINUTES },
    ],
  ];
  for (const [name, reply] of cases) conversations.set(name, () => ask(name, reply));

  test.each(cases)('are those of the answer: %s', async (name, _, expected) => {
    const chat = chatOf(await spansOf(name));

    expect(said(chat, 'gen_ai.usage.', 'llm.token_count.', 'loom.usage.')).toEqual(expected);
  });

  test('are each answer’s own when the client falls back to an answer that is not streamed', async () => {
    const client = talker('fallback');
    const request = client.prompt('How much?');
    const broken = () => cutMidStream(4, 'error', { text: 'Sev', usage: { ...CACHED, output_tokens: 9 } });
    await world.deliver(request, broken);
    const body = Buffer.from(JSON.stringify({ ...bodyOf(request.body), stream: false }));
    await world.deliver({ ...request, body }, () => json({ text: 'Seven.', usage: { ...CACHED, output_tokens: 50 } }));

    const spans = await world.ended(client.session);

    const chats = spans.filter(({ name }) => name.startsWith('chat ')).sort((a, b) => a.startedAt - b.startedAt);
    expect(chats.map((chat) => said(chat, 'gen_ai.usage.', 'llm.token_count.', 'loom.usage.'))).toEqual([
      { ...counted(1), ...FIVE_MINUTES, 'loom.usage.partial': true },
      { ...counted(50), ...FIVE_MINUTES },
    ]);
    const turn = spans.find(({ name }) => name === 'turn');
    expect(turn?.attributes).toMatchObject({ 'loom.turn.tokens.prompt': 4_620, 'loom.turn.tokens.completion': 51 });
  });
});

describe('the cost of a call', () => {
  const usage = { input_tokens: 100_000, cache_creation_input_tokens: 60_000, output_tokens: 1_000 };
  const cases: [string, string, object, Record<string, unknown>][] = [
    [
      'claude-opus-5-5',
      'at the rates of its caches',
      {
        ...usage,
        cache_read_input_tokens: 500_000,
        cache_creation: { ephemeral_1h_input_tokens: 20_000, ephemeral_5m_input_tokens: 40_000 },
      },
      {
        'llm.cost.prompt': 0.86,
        'llm.cost.completion': 0.02,
        'llm.cost.total': 0.88,
        'llm.cost.prompt_details.input': 0.4,
        'llm.cost.prompt_details.cache_read': 0.1,
        'llm.cost.prompt_details.cache_write': 0.36,
        'operation.cost': 0.88,
      },
    ],
    [
      'claude-sonnet-4-5-20250929',
      'at the rates of a long context, that of its caches included',
      { ...usage, cache_read_input_tokens: 40_001 },
      {
        'llm.cost.prompt': 1.0740006,
        'llm.cost.completion': 0.0225,
        'llm.cost.total': 1.0965006,
        'llm.cost.prompt_details.input': 0.6,
        'llm.cost.prompt_details.cache_read': 0.0240006,
        'llm.cost.prompt_details.cache_write': 0.45,
        'operation.cost': 1.0965006,
      },
    ],
    ['claude-unheard-of', 'not there, where nobody knows the price', usage, {}],
  ];
  for (const [model, , counts] of cases)
    conversations.set(model, () =>
      ask(
        model,
        () => streamed([{ ...counts, output_tokens: 1 }, { output_tokens: 1_000 }], { text: 'Seven.', model }),
        model,
      ),
    );

  test.each(cases)('%s: is %s', async (model, _, __, expected) => {
    const spans = await spansOf(model);

    const chat = chatOf(spans);
    const turn = spans.find(({ name }) => name === 'turn');
    expect(said(chat, 'llm.cost.', 'operation.cost')).toEqual(expected);
    expect(turn?.attributes['loom.turn.cost']).toBe(expected['operation.cost']);
    expect(said(chat, 'gen_ai.response.model', 'server.')).toEqual({
      'gen_ai.response.model': model,
      'server.address': '127.0.0.1',
      'server.port': Number(new URL(upstream.url).port),
    });
    if (Object.keys(expected).length > 0) expect(chat.attributes['loom.prices.version']).toBe('anthropic-2026-11');
  });

  test('is missed in the log where nobody knows the price', async () => {
    await spansOf('claude-unheard-of');
    await world.service('trace-grouper').logs('a model has no price', 1);
  });
});

describe('a call that fails', () => {
  const [SAYS, USAGE] = [{ text: 'This will not come to its end.' }, { ...CACHED, output_tokens: 40 }];
  const cases: [string, () => Reply, unknown[]][] = [
    [
      'SSE error',
      () => cutMidStream(4, 'error', { ...SAYS, usage: USAGE }),
      [2, 'overloaded_error', 'upstream_error', 2_310],
    ],
    [
      'no message_stop',
      () => cutMidStream(4, 'end', { ...SAYS, usage: USAGE }),
      [2, 'stream_incomplete', 'upstream_aborted', 2_310],
    ],
    ['reset', () => cutMidStream(4, 'reset', { ...SAYS, usage: USAGE }), [2, 'ECONNRESET', 'upstream_aborted', 2_310]],
    ['silence before the head', hang, [2, 'timeout', 'timeout', undefined]],
    [
      'silence',
      () => ({ ...cutMidStream(4, 'reset', { ...SAYS, usage: USAGE }), cutAfter: 'silence' }),
      [2, 'timeout', 'timeout', 2_310],
    ],
    [
      '400',
      () => apiError(400, 'invalid_request_error', 'No.'),
      [2, 'invalid_request_error', 'upstream_error', undefined],
    ],
    ['429', () => apiError(429, 'rate_limit_error', 'Slowly.'), [2, 'rate_limit_error', 'upstream_error', undefined]],
    ['529', () => apiError(529, 'overloaded_error', 'Later.'), [2, 'overloaded_error', 'upstream_error', undefined]],
    [
      '502 of a proxy',
      () => raw({ status: 502, chunks: [Buffer.from('<html>')] }),
      [2, '502', 'upstream_error', undefined],
    ],
  ];
  for (const [name, reply] of cases) conversations.set(name, () => ask(name, reply));

  test.each(cases)('says how, and keeps what it had used: %s', async (name, _, expected) => {
    const chat = chatOf(await spansOf(name));

    const { status, attributes } = chat;
    const { 'error.type': type, 'loom.end.reason': reason, 'gen_ai.usage.input_tokens': tokens } = attributes;
    expect([status, type, reason, tokens]).toEqual(expected);
  });

  test('because the client left is no error, and keeps what it had used', async () => {
    const client = talker('left');
    const stream = cutMidStream(4, 'reset', { ...SAYS, usage: USAGE });
    await world.leave(client.prompt('How much?'), () => ({ ...stream, cutAfter: 'silence' }));

    const { status, attributes } = chatOf(await world.ended(client.session));

    expect([status, attributes['error.type'], attributes['loom.end.reason']]).toEqual([0, undefined, 'client_closed']);
    expect(attributes).toMatchObject({ 'gen_ai.usage.input_tokens': 2_310, 'loom.usage.partial': true });
  });
});

describe('the times of a call', () => {
  test('lie between what the upstream did and what the client saw of it', async () => {
    const client = talker('times');
    const events = eventsOf({ text: 'Seven.' });
    const contentAt = events.findIndex(({ type }) => type === 'content_block_delta');
    const stamps: Record<string, number> = {};
    const stamp = (name: string) => {
      stamps[name] ??= Date.now();
    };
    const clientHasFirst = Promise.withResolvers<void>();
    stamp('sent');
    const response = await world.send(client.prompt('How much?'), () => {
      stamp('asked');
      const { headers, chunks } = frames(events);
      const answer = () => clockMovesOn().then(() => stamp('answers'));
      const goOn = () => clientHasFirst.promise.then(clockMovesOn).then(() => stamp('goesOn'));
      return raw({ headers, chunks: [answer, ...chunks.slice(0, contentAt), goOn, ...chunks.slice(contentAt)] });
    });
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      stamp('hasFirst');
      clientHasFirst.resolve();
      if (decoder.decode(chunk).includes('content_block_delta')) stamp('hasContent');
    }

    const chat = chatOf(await world.ended(client.session));

    const at = Object.fromEntries(chat.events.map(({ name, at }) => [name, at])) as Record<string, number>;
    const [started, first, content] = [chat.startedAt, at['first_chunk'] ?? 0, at['first_content'] ?? 0];
    const { sent = 0, asked = 0, answers = 0, hasFirst = 0, goesOn = 0, hasContent = 0 } = stamps;
    expectInOrder(sent, started, asked);
    expectInOrder(answers, first, hasFirst);
    expectInOrder(goesOn, content, hasContent);
    const { 'gen_ai.response.time_to_first_chunk': toFirst, 'loom.response.time_to_first_content': toContent } =
      chat.attributes as Record<string, number>;
    expect((toFirst ?? 0) * 1_000).toBeCloseTo(first - started, 0);
    expect((toContent ?? 0) * 1_000).toBeCloseTo(content - started, 0);
  });
});

/** A clock that is read to the millisecond may be one off, and so may a duration that is rounded to it. */
const CLOCK_MS = 2;

/** By so much that what was stamped before and what is stamped after cannot be taken for one another. */
const clockMovesOn = () => sleep(5 * CLOCK_MS);

function expectInOrder(before: number, now: number, after: number): void {
  expect(now).toBeGreaterThanOrEqual(before - CLOCK_MS);
  expect(now).toBeLessThanOrEqual(after + CLOCK_MS);
}
