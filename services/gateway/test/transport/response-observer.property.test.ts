import { promisify } from 'node:util';
import { brotliCompress, deflate, gzip, zstdCompress } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { decodeEvent, encodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { eventsOf, messageOf, type Answer as Said } from '@loom/shared/testing/answer.ts';
import { damaged, damages } from '@loom/shared/testing/damage.ts';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { ResponseObserver } from '../../src/adapters/response-observer.ts';
import { Answer } from '../../src/core/answer.ts';

const COMPRESS: Record<string, (bytes: Buffer) => Promise<Buffer>> = {
  identity: async (bytes) => bytes,
  gzip: promisify(gzip),
  deflate: promisify(deflate),
  br: promisify(brotliCompress),
  zstd: promisify(zstdCompress),
};
const encoding = fc.oneof(
  { weight: 2, arbitrary: fc.constant('identity') },
  { weight: 1, arbitrary: fc.constantFrom(...Object.keys(COMPRESS)) },
);
const words = fc.string({
  unit: fc.constantFrom('a', ' ', '\n', '\r', '\\', '"', 'ß', '‹', '👩‍💻', '\u2028', '{', ':'),
  maxLength: 40,
});
const said: fc.Arbitrary<Said> = fc.record(
  {
    thinking: words,
    text: words,
    toolUses: fc.array(
      fc.record({
        id: words,
        name: words,
        input: fc.dictionary(words, fc.jsonValue(), { maxKeys: 3 }),
      }) as fc.Arbitrary<NonNullable<Said['toolUses']>[number]>,
      { maxLength: 3 },
    ),
    usage: fc.record({ input_tokens: fc.nat(), output_tokens: fc.nat() }),
  },
  { requiredKeys: [] },
);
/** Events that no release has sent so far, and members of another kind than those of today. */
const strange: fc.Arbitrary<object> = fc.oneof(
  fc.record({ type: fc.constantFrom('ping', 'tea', 'error'), error: fc.jsonValue() }, { requiredKeys: ['type'] }),
  fc
    .tuple(
      fc.constantFrom('message_start', 'content_block_start', 'content_block_delta', 'message_delta', 'message_stop'),
      fc.dictionary(
        fc.constantFrom('message', 'index', 'content_block', 'delta', 'usage', 'error'),
        fc.oneof(
          fc.jsonValue({ maxDepth: 2 }),
          fc.dictionary(
            fc.constantFrom(
              'type',
              'text',
              'thinking',
              'partial_json',
              'id',
              'name',
              'stop_reason',
              'content',
              'usage',
              'toString',
              'input_tokens',
            ),
            fc.oneof(words, fc.constantFrom('text', 'tool_use'), fc.jsonValue({ maxDepth: 3 })),
          ),
        ),
      ),
    )
    .map(([type, members]) => ({ ...members, type })),
);

/** A line end for each line, comments and fields that nobody asked for, data over several lines. */
interface Style {
  lineEnd: '\n' | '\r\n' | '\r';
  isIndented: boolean;
  extra: string[];
}
const style: fc.Arbitrary<Style> = fc.record({
  lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
  isIndented: fc.boolean(),
  extra: fc.subarray([': keep-alive', 'id: 7', 'retry: 10', 'event', 'nonsense: ü']),
});

function streamed(events: object[], { lineEnd, isIndented, extra }: Style): Buffer {
  const lines = events.flatMap((event) => {
    const data = JSON.stringify(event, null, isIndented ? 1 : undefined).split('\n');
    return [
      ...extra,
      `event: ${String((event as { type?: unknown }).type)}`,
      ...data.map((line) => `data: ${line}`),
      '',
    ];
  });
  return Buffer.from(lines.map((line) => line + lineEnd).join(''));
}

/** Cuts bytes at these places, modulo their number. */
function chunked(bytes: Buffer, places: number[]): Buffer[] {
  const ends = [...new Set([...places.map((place) => place % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

async function observe(chunks: Buffer[], headers: Record<string, string>) {
  const observer = new ResponseObserver(headers, true);
  for (const chunk of chunks) observer.write(Buffer.from(chunk));
  await observer.end(true);
  const { answer, blindness, bytes } = observer;
  const { parts, isComplete, errorType, blocks } = answer;
  return { parts, isComplete, errorType, blocks: blocks?.list, blindness, bytes };
}

const stream = (coding: string) => ({ 'content-type': 'text/event-stream', 'content-encoding': coding });
const places = fc.array(fc.nat(), { maxLength: 12 });

/** Whoever reads the event that is made of an answer must be able to, and it must not be large. */
function isFitEvent(parts: Answer['parts'], errorType: string | null): boolean {
  const data = {
    ...{ requestId: 'r', gateway: 'g', class: 'main', profile: 'alpha', model: null, status: 200 },
    ...{ upstreamRequestId: null, firstByteMs: 1, durationMs: 1, bytes: 1, endReason: 'upstream_error', errorType },
    ...parts,
  };
  const event = {
    ...{ type: 'response.failed', id: 'i', source: '/loom/gateway/g', subject: 's' },
    ...{ time: new Date(0).toISOString(), traceparent: '', data },
  } as LoomEvent;
  expect(() => decodeEvent(encodeEvent(event))).not.toThrow();
  return JSON.stringify(data).length < 250_000;
}

describe('ResponseObserver, of any answer', () => {
  test('reads the same wherever the stream is cut, in any encoding and with any line ends', async () => {
    const events = said.chain((one) => fc.array(strange, { maxLength: 3 }).map((more) => [...eventsOf(one), ...more]));

    await holds(
      fc.asyncProperty(events, style, encoding, places, async (list, how, coding, cuts) => {
        const expected = new Answer(true);
        for (const event of list) expected.sseEvent(JSON.stringify(event));
        const bytes = await (COMPRESS[coding] as (typeof COMPRESS)[string])(streamed(list, how));

        const observed = await observe(chunked(bytes, cuts), stream(coding));

        expect(observed).toEqual({
          ...{ parts: expected.parts, isComplete: expected.isComplete, errorType: expected.errorType },
          ...{ blocks: expected.blocks?.list, blindness: undefined, bytes: bytes.length },
        });
      }),
      300,
    );
  });

  test('reads a whole message the same wherever it is cut', async () => {
    await holds(
      fc.asyncProperty(said, encoding, places, async (one, coding, cuts) => {
        const bytes = await (COMPRESS[coding] as (typeof COMPRESS)[string])(
          Buffer.from(JSON.stringify(messageOf(one))),
        );
        const headers = { 'content-type': 'application/json', 'content-encoding': coding };
        const known = { ...headers, 'content-length': String(bytes.length) };
        const expected = new Answer(true);
        expected.body(JSON.stringify(messageOf(one)));

        for (const named of [headers, known]) {
          const { parts, isComplete, blindness } = await observe(chunked(bytes, cuts), named);
          expect({ parts, isComplete, blindness }).toEqual({
            parts: expected.parts,
            isComplete: true,
            blindness: undefined,
          });
        }
      }),
      150,
    );
  });

  test('bears any damage, before and after the compression, and any events: what it tells is small and can be read', async () => {
    const met = new Set<string>();
    const events = fc
      .tuple(said, fc.array(strange, { maxLength: 4 }))
      .map(([one, more]) => [...eventsOf(one), ...more]);

    await holds(
      fc.asyncProperty(
        events,
        style,
        encoding,
        damages,
        fc.boolean(),
        places,
        async (list, how, coding, harm, early, cuts) => {
          const plain = streamed(list, how);
          const compress = COMPRESS[coding] as (typeof COMPRESS)[string];
          const bytes = early ? await compress(damaged(plain, harm)) : damaged(await compress(plain), harm);

          const { parts, errorType, blindness, isComplete } = await observe(chunked(bytes, cuts), stream(coding));

          met.add(blindness ?? (isComplete ? 'complete' : 'incomplete'));
          return isFitEvent(parts, errorType);
        },
      ),
      400,
    );

    reaches(met, ['undecodable', 'complete', 'incomplete']);
  });

  test('bears any JSON that is no message', async () => {
    const body = fc.oneof(
      fc.jsonValue(),
      strange,
      fc.record({
        content: fc.array(fc.oneof(strange, fc.constant({ type: 'text', text: { toString: 1 } }))),
        usage: fc.jsonValue(),
      }),
    );
    await holds(
      fc.asyncProperty(body, fc.boolean(), async (value, isKnown) => {
        const bytes = Buffer.from(JSON.stringify(value));
        const headers = {
          'content-type': 'application/json',
          ...(isKnown && { 'content-length': String(bytes.length) }),
        };
        const { parts, errorType } = await observe([bytes], headers);
        return isFitEvent(parts, errorType);
      }),
      400,
    );
  });

  test('holds little of a stream, whatever it repeats', async () => {
    const long = fc.constantFrom('x'.repeat(20_000), 'short');
    const repeated = fc.record({
      event: strange,
      key: fc.constantFrom('usage', 'index', 'content_block', 'delta'),
      long,
    });
    await holds(
      fc.asyncProperty(repeated, async ({ event, key, long: word }) => {
        const events = Array.from({ length: 80 }, (_, at) => ({
          ...event,
          index: at,
          message: { id: word, stop_reason: word, usage: { [`${word}${at}`]: word }, content: [] },
          content_block: {
            type: at % 2 ? 'text' : 'tool_use',
            id: word.slice(0, 2_000),
            name: word.slice(0, 2_000),
            text: 'abc',
          },
          ...(key === 'usage' && { usage: { [`${word.slice(0, 9_000)}${at}`]: at } }),
          delta: { type: 'text_delta', text: word.slice(0, 9_000), stop_reason: word.slice(0, 9_000) },
        }));
        const { parts, blocks, errorType } = await observe(
          [streamed(events, { lineEnd: '\n', isIndented: false, extra: [] })],
          stream('identity'),
        );
        expect(JSON.stringify(blocks).length).toBeLessThan(64 * 130_000);
        return isFitEvent(parts, errorType);
      }),
      12,
    );
  });
});
