import { describe, expect, test } from '@jest/globals';
import { formatMetadata as formatOfShared, MAX_METADATA_LENGTH, type MetadataFields } from '@loom/shared/metadata.ts';
import { holds } from '@loom/shared/testing/law.ts';
import { findTraceParent } from '@loom/shared/trace-context.ts';
import fc from 'fast-check';
import { formatMetadata, startRoot } from '../src/prompt-hook.mjs';

const short = fc.string({ unit: 'binary', maxLength: 40 });
const path = fc.oneof(short, fc.string({ minLength: 3_000, maxLength: 5_000 }));
const prompt = fc.oneof(
  short,
  fc.string({ unit: 'binary', maxLength: 12_000 }),
  fc
    .tuple(fc.constantFrom('<', '"\n', '\0', '\ud800', '🌱', 'tea '), fc.integer({ min: 1_000, max: 9_000 }))
    .map(([unit, count]) => unit.repeat(count)),
);
const FIELDS: fc.Arbitrary<MetadataFields> = fc.record(
  {
    v: fc.constant(1),
    session_id: short,
    trace_id: short,
    traceparent: short,
    parent_span_id: short,
    prompt_id: short,
    prompt,
    transcript_path: path,
    source: short,
    machine: fc.dictionary(short, short, { maxKeys: 4 }),
    sent_at: short,
    cwd: path,
    collected_ms: fc.double({ min: 0, max: 300, noNaN: true }),
    exports_spans: fc.boolean(),
  },
  { requiredKeys: [] },
);
const SECRET = fc.option(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), { nil: undefined });

describe('formatMetadata', () => {
  test('writes the line that the gateway’s own would write, byte for byte, signed and unsigned', async () => {
    await holds(
      fc.asyncProperty(FIELDS, SECRET, async (fields, secret) => {
        const line = await formatMetadata(fields, secret);

        expect(line).toBe(formatOfShared(fields, secret));
        expect(line.length).toBeLessThanOrEqual(MAX_METADATA_LENGTH);
      }),
    );
  });

  test.each([
    ['plain text', 'tea ', 7_900],
    ['text that doubles when it is escaped', '"\n', 3_950],
    ['text of which each character becomes six', '\0', 1_310],
  ])('keeps as much of a long prompt as there is room for: %s', async (_, unit, atLeast) => {
    const long = unit.repeat(200_000);

    const kept: string = JSON.parse(await formatMetadata({ prompt: long })).prompt;

    expect(long.startsWith(kept)).toBe(true);
    expect(kept.length).toBeGreaterThan(atLeast);
  });

  test('drops machine, cwd and transcript path, in that order, where no prompt is left to shorten', async () => {
    const names = ['session_id', 'machine', 'transcript_path', 'cwd'];
    const kept = async (length: number) => {
      const [machine, cwd, transcript_path] = [{ fqdn: 'm'.repeat(length) }, 'c'.repeat(length), 't'.repeat(length)];
      const line = await formatMetadata({ session_id: 's1', prompt: 'Tea?', machine, transcript_path, cwd });
      return names.filter((name) => name in JSON.parse(line));
    };

    expect(await Promise.all([2_600, 3_900, 7_800, 8_000].map(kept))).toEqual([
      ['session_id', 'machine', 'transcript_path', 'cwd'],
      ['session_id', 'transcript_path', 'cwd'],
      ['session_id', 'transcript_path'],
      ['session_id'],
    ]);
  });
});

describe('startRoot', () => {
  const hex = (length: number) => fc.string({ unit: fc.constantFrom(...'0aF7'), minLength: length, maxLength: length });
  const traceparents = fc
    .tuple(fc.constantFrom('00', 'cc', 'ff', '0'), hex(32), hex(16), hex(2), fc.constantFrom('', '-what'))
    .map(([version, trace, span, flags, rest]) => `${version}-${trace}-${span}-${flags}${rest}`);
  const zeros = '00-00000000000000000000000000000000-0000000000000000-01';

  test('goes on in the trace that the gateway would read there, and else starts one', () => {
    const lower = traceparents.map((value) => value.toLowerCase());
    const values = fc.oneof(traceparents, lower, fc.constantFrom(undefined, '', zeros));
    holds(
      fc.property(values, (value) => {
        const { traceId, spanId, parentSpanId, flags } = startRoot(value);

        const parent = findTraceParent(value);
        expect(findTraceParent(`00-${traceId}-${spanId}-${flags}`)).toEqual({
          traceId: parent?.traceId ?? traceId,
          spanId,
          flags: parent?.flags ?? 1,
        });
        expect(parentSpanId).toBe(parent?.spanId);
        expect(spanId).not.toBe(parent?.spanId);
      }),
    );
  });
});
