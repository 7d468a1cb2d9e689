import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import Anthropic from '@anthropic-ai/sdk';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type Answer, eventsOf, messageOf } from '../../src/testing/answer.ts';
import { answer, apiError, cutMidStream, type Delivery, hang, json, type Reply, sse } from '../../src/testing/reply.ts';
import { startUpstream, type Upstream } from '../../src/testing/upstream.ts';

const FULL: Answer = {
  thinking: 'They greet me; I look around first. 🧵',
  text: 'Good evening.\r\n\nTwo lines, 🦆 and "quotes".',
  toolUses: [
    { id: 'toolu_01', name: 'Bash', input: { command: 'ls -la "a b"', timeout: 5 } },
    { id: 'toolu_02', name: 'Read', input: {} },
  ],
  usage: { cache_read_input_tokens: 900, input_tokens: 3 },
};

let upstream: Upstream;
let client: Anthropic;

beforeEach(async () => {
  upstream = await startUpstream(answer(FULL));
  client = new Anthropic({ baseURL: upstream.url, apiKey: 'test-key', maxRetries: 0 });
});

afterEach(() => upstream.close());

const QUESTION = {
  model: 'claude-sonnet-4-6',
  max_tokens: 64,
  messages: [{ role: 'user' as const, content: 'Hello?' }],
};
const bytes = (reply: Reply) => Buffer.concat(reply.chunks.filter((chunk) => Buffer.isBuffer(chunk)));

describe('sse', () => {
  const deliveries: Delivery[] = [
    {},
    { chunking: 'byte' },
    { chunking: 7 },
    { chunking: 'crlf' },
    { delayMs: 1 },
    { encoding: 'gzip' },
    { encoding: 'br', chunking: 'byte' },
    { encoding: 'zstd', chunking: 10 },
  ];

  test.each(deliveries)(
    'streams thinking, text and tool uses that the SDK puts together, with %j',
    async (delivery) => {
      upstream.script = () => sse({ ...FULL, ...delivery });

      const message = await client.messages.stream(QUESTION).finalMessage();

      expect(JSON.parse(JSON.stringify(message))).toEqual({ ...messageOf(FULL), parsed_output: null });
    },
  );

  test('follows the event sequence of the API', () => {
    const frames = bytes(sse({ text: 'Good evening, you.' }))
      .toString()
      .split('\n\n');

    expect(frames).toEqual([
      'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_01Scripted","type":"message","role":"assistant",' +
        '"model":"claude-sonnet-4-6","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,' +
        '"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}',
      'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
      'event: ping\ndata: {"type":"ping"}',
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Good evening"}}',
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":", you."}}',
      'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}',
      'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":' +
        '{"input_tokens":12,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":12}}',
      'event: message_stop\ndata: {"type":"message_stop"}',
      '',
    ]);
  });

  test('begins a tool input with an empty piece, and splits no character', () => {
    const deltas = eventsOf({
      text: 'Good night,🦆!',
      toolUses: [{ id: 'toolu_01', name: 'Bash', input: { command: 'ls' } }],
    }).flatMap(({ delta }) => (delta ? [delta] : []));

    expect(deltas).toEqual([
      { type: 'text_delta', text: 'Good night,🦆' },
      { type: 'text_delta', text: '!' },
      { type: 'input_json_delta', partial_json: '' },
      { type: 'input_json_delta', partial_json: '{"command":"' },
      { type: 'input_json_delta', partial_json: 'ls"}' },
      { stop_reason: 'tool_use', stop_sequence: null },
    ]);
  });

  test('sends one event a chunk, one byte a chunk, or so many', () => {
    const lengths = (reply: Reply) => reply.chunks.map((chunk) => (Buffer.isBuffer(chunk) ? chunk.length : 0));
    const whole = bytes(sse({ text: 'Hi.' }));

    expect(lengths(sse({ text: 'Hi.' }))).toHaveLength(7);
    expect(lengths(sse({ text: 'Hi.', chunking: 'byte' }))).toEqual(Array(whole.length).fill(1));
    expect(lengths(sse({ text: 'Hi.', chunking: whole.length - 1 }))).toEqual([whole.length - 1, 1]);
  });

  test('compresses the same bytes that it would send plain', () => {
    const plain = bytes(sse(FULL));

    expect(gunzipSync(bytes(sse({ ...FULL, encoding: 'gzip' })))).toEqual(plain);
    expect(brotliDecompressSync(bytes(sse({ ...FULL, encoding: 'br' })))).toEqual(plain);
    expect(zstdDecompressSync(bytes(sse({ ...FULL, encoding: 'zstd' })))).toEqual(plain);
  });
});

describe('json', () => {
  test.each<Delivery>([{}, { encoding: 'gzip' }, { chunking: 'byte' }])(
    'is the whole message, with %j',
    async (delivery) => {
      upstream.script = () => json({ ...FULL, ...delivery });

      const message = await client.messages.create(QUESTION);

      expect(message).toEqual(messageOf(FULL));
    },
  );
});

describe('answer', () => {
  test('streams or not, as the request asks, and bills what the prompt cache says', async () => {
    upstream.script = answer({ text: 'Hi.' });
    const question = {
      ...QUESTION,
      model: 'claude-opus-5-5',
      messages: [
        {
          role: 'user' as const,
          content: [{ type: 'text' as const, text: 'Hello?', cache_control: { type: 'ephemeral' as const } }],
        },
      ],
    };

    const whole = await client.messages.create(question);
    const streamed = await client.messages.stream(question).finalMessage();

    const expected = messageOf({ text: 'Hi.', model: 'claude-opus-5-5', id: 'msg_01Scripted000001' });
    expect(whole).toEqual({
      ...expected,
      usage: {
        input_tokens: 0,
        cache_creation_input_tokens: 10,
        cache_read_input_tokens: 0,
        output_tokens: expected.usage.output_tokens,
      },
    });
    expect([streamed.id, streamed.usage.cache_read_input_tokens]).toEqual(['msg_01Scripted000002', 10]);
  });

  test('names each exchange by its request-id', async () => {
    const { request_id } = await client.messages.create(QUESTION).withResponse();
    upstream.script = answer({ text: 'Hi.', headers: { 'request-id': 'req_mine' } });
    const named = await client.messages.create(QUESTION).withResponse();

    expect([request_id, named.request_id]).toEqual(['req_01Scripted000001', 'req_mine']);
  });

  test('counts tokens where it is asked for a count', async () => {
    const { input_tokens } = await client.messages.countTokens({ model: QUESTION.model, messages: QUESTION.messages });

    expect(input_tokens).toBe(Math.ceil((upstream.requests[0]?.body.length ?? 0) / 4));
  });

  test('lets anything but a POST pass', async () => {
    const response = await fetch(upstream.url, { method: 'HEAD' });

    expect([response.status, await response.text()]).toEqual([200, '']);
  });
});

describe('apiError', () => {
  test.each([
    [400, 'invalid_request_error', Anthropic.BadRequestError],
    [401, 'authentication_error', Anthropic.AuthenticationError],
    [429, 'rate_limit_error', Anthropic.RateLimitError],
    [529, 'overloaded_error', Anthropic.InternalServerError],
  ])('is the error that the SDK knows for %i', async (status, type, ErrorClass) => {
    upstream.script = () => apiError(status, type, 'No.', { 'request-id': 'req_7', 'retry-after': '3' });

    const error = await client.messages.create(QUESTION).catch((reason) => reason);

    expect(error).toBeInstanceOf(ErrorClass);
    expect(error.status).toBe(status);
    expect(error.error).toEqual({ type: 'error', error: { type, message: 'No.' }, request_id: 'req_7' });
    expect([error.requestID, error.headers.get('retry-after')]).toEqual(['req_7', '3']);
  });
});

describe('cutMidStream', () => {
  test('resets the connection after so many events', async () => {
    upstream.script = () => cutMidStream(4);
    const seen: string[] = [];

    const stream = client.messages.stream(QUESTION).on('streamEvent', ({ type }) => seen.push(type));

    await expect(stream.finalMessage()).rejects.toThrow('terminated');
    expect(seen).toEqual(['message_start', 'content_block_start', 'content_block_delta']);
  });

  test('says an error in the stream and ends', async () => {
    upstream.script = () => cutMidStream(4, 'error');

    const error = await client.messages
      .stream(QUESTION)
      .finalMessage()
      .catch((reason) => reason);

    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect(error.error).toEqual({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } });
  });

  test('ends without a word', async () => {
    upstream.script = () => cutMidStream(4, 'end');

    const response = await fetch(`${upstream.url}/v1/messages`, { method: 'POST', body: '{}' });

    expect((await response.text()).endsWith('"text":"This sentenc"}}\n\n')).toBe(true);
    expect(upstream.requests[0]?.outcome).toBe('finished');
  });
});

describe('hang', () => {
  test('never answers', async () => {
    upstream.script = () => hang();

    const waiting = client.messages.create(QUESTION, { timeout: 100 });

    await expect(waiting).rejects.toBeInstanceOf(Anthropic.APIConnectionTimeoutError);
    expect(await upstream.requests[0]?.closedByClient).toEqual(expect.any(Number));
  });
});
