import { createBrotliCompress, createDeflate, createGzip, createZstdCompress } from 'node:zlib';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { apiError, cutMidStream, json, type Reply, raw, sse } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startHarness } from '../harness.ts';
import { ending, newRequest } from './ending.ts';
import { exchange } from './wire.ts';

const harness = await startHarness({ LOOM_UPSTREAM_IDLE_MS: '300' });
const { upstream } = harness;

afterAll(() => harness.close());

afterEach(async () => {
  await until(async () => (await harness.metric('loom_exchanges_active')) === 0);
});

/** How the story of an exchange ends, as the client sees it and as the event tells it. */
async function endOf(reply: Reply, path?: string) {
  upstream.script = () => reply;
  const wanted = newRequest();
  const client = await exchange(harness.gateway.url, { ...wanted, ...(path && { path }) }).then(
    ({ status }) => `whole, ${status}`,
    ({ code }) => `broken, ${code}`,
  );
  if (path) return { client };
  const { type, data } = await ending(harness, wanted.session);
  const { endReason = 'complete', errorType = null, status, text, usage } = data as Record<string, unknown>;
  return { client, type, endReason, errorType, status, text, usage };
}

const usage = { input_tokens: 12, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 1 };
const sentence = { text: 'One, two, three, four, five.' };
const partial = { type: 'response.failed', status: 200, text: 'One, two, three, four, f'.slice(0, 12), usage };
const nothing = { text: '', usage: null };
const jsonHeaders: [string, string][] = [['content-type', 'application/json']];

/** The first four events of a stream, of which the last one is the first delta, and then silence. */
function silentStream(): Reply {
  return { ...sse(sentence), chunks: sse(sentence).chunks.slice(0, 4), cutAfter: 'silence' };
}

describe('an upstream', () => {
  test('that resets a stream has it cut for the client', async () => {
    expect(await endOf(cutMidStream(4, 'reset', sentence))).toEqual({
      ...{ ...partial, client: 'broken, ECONNRESET', endReason: 'upstream_aborted', errorType: 'ECONNRESET' },
    });
  });

  test('that falls silent in a stream has it cut for the client', async () => {
    expect(await endOf(silentStream())).toEqual({
      ...{ ...partial, client: 'broken, ECONNRESET', endReason: 'timeout', errorType: 'timeout' },
    });
  });

  test('that ends a stream properly but early is known to have failed', async () => {
    expect(await endOf(cutMidStream(4, 'end', sentence))).toEqual({
      ...{ ...partial, client: 'whole, 200', endReason: 'upstream_aborted', errorType: 'stream_incomplete' },
    });
  });

  test('that says an error within a stream is believed', async () => {
    expect(await endOf(cutMidStream(4, 'error', sentence))).toEqual({
      ...{ ...partial, client: 'whole, 200', endReason: 'upstream_error', errorType: 'overloaded_error' },
    });
  });

  test.each(['reset', 'silence'] as const)(
    'that breaks off an answer of known length has it cut: %s',
    async (cutAfter) => {
      const reply = json(sentence);
      const [body] = reply.chunks as [Buffer];
      const headers: [string, string][] = [...jsonHeaders, ['content-length', String(body.length)]];

      expect(await endOf({ ...reply, headers, chunks: [body.subarray(0, -1)], cutAfter })).toEqual({
        ...{ type: 'response.failed', client: 'broken, ECONNRESET', status: 200, ...nothing },
        ...(cutAfter === 'reset'
          ? { endReason: 'upstream_aborted', errorType: 'ECONNRESET' }
          : { endReason: 'timeout', errorType: 'timeout' }),
      });
    },
  );

  test.each(['reset', 'silence'] as const)('that breaks off any other answer has it cut: %s', async (cutAfter) => {
    const reply = raw({ chunks: [Buffer.from('half')], cutAfter });

    expect(await endOf(reply, '/v1/files')).toEqual({ client: 'broken, ECONNRESET' });
  });

  test.each([
    ['gzip', createGzip()],
    ['deflate', createDeflate()],
    ['br', createBrotliCompress()],
    ['zstd', createZstdCompress()],
  ])('that breaks off a compressed stream has what came before told: %s', async (encoding, encoder) => {
    const reply = sse({ ...sentence, headers: { 'content-encoding': encoding } });
    const events = reply.chunks.slice(0, 4) as Buffer[];
    const chunks: Buffer[] = [];
    for (const event of events) {
      encoder.write(event);
      await new Promise<void>((resolve) => encoder.flush(resolve));
      chunks.push(encoder.read());
    }
    encoder.destroy();

    for (const cutAfter of ['reset', undefined] as const) {
      expect(await endOf({ ...reply, chunks, cutAfter })).toEqual({
        ...{ ...partial, client: cutAfter ? 'broken, ECONNRESET' : 'whole, 200' },
        ...{ endReason: 'upstream_aborted', errorType: cutAfter ? 'ECONNRESET' : 'stream_incomplete' },
      });
    }
    expect(await harness.metric('loom_responses_unobserved_total')).toBe(0);
  });

  test.each([
    [400, 'invalid_request_error'],
    [429, 'rate_limit_error'],
    [529, 'overloaded_error'],
  ])('that refuses has its own reason told: %i', async (status, type) => {
    expect(await endOf(apiError(status, type, 'sk-ant-api03-echo'))).toEqual({
      ...{ client: `whole, ${status}`, type: 'response.failed', endReason: 'upstream_error', errorType: type, status },
      ...nothing,
    });
  });

  test('that refuses in another form than the API’s is known to have failed', async () => {
    const html = Buffer.from('<html><h1>502 Bad Gateway</h1></html>');
    const reply = raw({ status: 502, headers: [['content-type', 'text/html']], chunks: [html] });

    expect(await endOf(reply)).toEqual({
      ...{ client: 'whole, 502', type: 'response.failed', endReason: 'upstream_error', errorType: null, status: 502 },
      ...nothing,
    });
  });

  test('is counted once for each exchange, by its end', async () => {
    const before = await harness.metric('loom_exchanges_ended_total');

    await endOf(sse(sentence));
    await endOf(cutMidStream(4, 'reset', sentence));
    await endOf(silentStream());
    await endOf(json({ ...sentence, encoding: 'br' }));

    expect((await harness.metric('loom_exchanges_ended_total')) - before).toBe(4);
  });
});
