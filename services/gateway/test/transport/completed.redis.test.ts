import { afterAll, describe, expect, test } from '@jest/globals';
import { eventsOf } from '@loom/shared/testing/answer.ts';
import { json, type Reply, raw, sse } from '@loom/shared/testing/reply.ts';
import { startHarness } from '../harness.ts';
import { ending, newRequest } from './ending.ts';
import { exchange, open } from './wire.ts';

const MEGABYTE = 1_048_576;

const harness = await startHarness();
const { upstream } = harness;

afterAll(() => harness.close());

const answer = {
  thinking: 'Not for the record.',
  text: 'Caf\u00e9 \ud83d\ude00, and then:',
  toolUses: [
    { id: 'toolu_1', name: 'Read', input: { path: '/a' } },
    { id: 'toolu_2', name: 'Bash', input: { command: 'ls' } },
  ],
  usage: { input_tokens: 7, cache_creation_input_tokens: 5, cache_read_input_tokens: 11, output_tokens: 42 },
  headers: { 'request-id': 'req_011CTest' },
};

/** The event about an answer, and its size for the client. */
async function completed(reply: Reply) {
  upstream.script = () => reply;
  const wanted = newRequest();
  const { body } = await exchange(harness.gateway.url, wanted);
  return { event: await ending(harness, wanted.session), size: body.length };
}

const replies: [name: string, reply: Reply][] = [
  ['a stream', sse(answer)],
  ['a stream in bytes', sse({ ...answer, chunking: 'byte' })],
  ['a stream with CRLF', sse({ ...answer, chunking: 'crlf' })],
  ...(['gzip', 'br', 'zstd'] as const).flatMap((encoding): [string, Reply][] => [
    [`a ${encoding} stream`, sse({ ...answer, encoding })],
    [`a ${encoding} message`, json({ ...answer, encoding })],
  ]),
  ['a message', json(answer)],
  ['a message in bytes', json({ ...answer, chunking: 'byte' })],
];

describe('response.completed', () => {
  test.each(replies)('says what was answered, whatever its form: %s', async (name, reply) => {
    const { event, size } = await completed(reply);

    expect(event.type).toBe('response.completed');
    expect(event.data).toEqual({
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      gateway: expect.any(String),
      ...{ class: 'auxiliary', profile: 'passthrough', model: 'm', status: 200, upstreamRequestId: 'req_011CTest' },
      ...{ responseId: 'msg_01Scripted', responseModel: 'claude-sonnet-4-6', stopReason: 'tool_use' },
      ...{ usage: answer.usage, text: answer.text, textTruncated: false },
      toolUses: [
        { id: 'toolu_1', name: 'Read' },
        { id: 'toolu_2', name: 'Bash' },
      ],
      trace: expect.objectContaining({ origin: 'none' }),
      startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      firstContentMs: name.includes('message') ? null : expect.any(Number),
      ...{ firstByteMs: expect.any(Number), durationMs: expect.any(Number), bytes: size },
    });
  });

  test('lets the last counts correct the first, and no null undo them', async () => {
    const [start, ...rest] = eventsOf({ text: 'Hi.', usage: { input_tokens: 7, cache_read_input_tokens: 11 } });
    const events = rest.map((event) =>
      event.type === 'message_delta'
        ? { ...event, usage: { input_tokens: null, output_tokens: 42, server_tool_use: { web_search_requests: 1 } } }
        : event,
    );
    const chunks = [start, ...events].map((event) => Buffer.from(`data: ${JSON.stringify(event)}\n\n`));

    const { event } = await completed(raw({ headers: [['content-type', 'text/event-stream']], chunks }));

    expect(event.data.usage).toEqual({
      ...{ input_tokens: 7, cache_creation_input_tokens: 0, cache_read_input_tokens: 11, output_tokens: 42 },
      server_tool_use: { web_search_requests: 1 },
    });
  });

  test('finds the upstream’s id of the request in any spelling', async () => {
    const { event } = await completed(raw({ headers: [['Request-ID', 'req_011CTest']], chunks: [Buffer.from('{}')] }));

    expect(event.data.upstreamRequestId).toBe('req_011CTest');
  });

  test.each([
    ['an unknown encoding', ['content-encoding', 'x-unheard-of'], Buffer.from('any bytes')],
    ['gzip that is none', ['content-encoding', 'gzip'], Buffer.from('any bytes')],
    ['a line of 9 MB', ['content-type', 'text/event-stream'], Buffer.alloc(9 * MEGABYTE, 'data: x')],
    ['a message of 17 MB', ['content-type', 'application/json'], Buffer.alloc(17 * MEGABYTE, 0x20)],
  ] as [string, [string, string], Buffer][])(
    'says nothing of what it cannot read, but that it ended: %s',
    async (_, header, body) => {
      const unobserved = await harness.metric('loom_responses_unobserved_total');

      const { event } = await completed(raw({ headers: [header], chunks: [body] }));

      const said = { usage: null, text: '', responseId: null, stopReason: null, toolUses: [], bytes: body.length };
      expect(event).toMatchObject({ type: 'response.completed', data: said });
      expect(await harness.metric('loom_responses_unobserved_total')).toBe(unobserved + 1);
    },
  );

  const [message] = json(answer).chunks as [Buffer];
  test.each([
    ['a stream', sse(answer), 'message_stop'],
    ['a message of known length', json({ ...answer, headers: { 'content-length': String(message.length) } }), ''],
    ['a message in chunks', json(answer), ''],
  ])('is in Redis before the client could see the end: %s', async (_, reply, last) => {
    upstream.script = () => reply;
    for (let round = 0; round < 10; round++) {
      const wanted = newRequest();
      const client = await open(harness.gateway.url, wanted).answered;
      if (last === '') await client.resume().toArray();
      else for await (const chunk of client) if (String(chunk).includes(last)) break;

      const events = await harness.events('responses', 'response.completed');

      expect(events.filter(({ subject }) => subject === wanted.session)).toHaveLength(1);
    }
  });
});
