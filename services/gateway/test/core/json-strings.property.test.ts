import { describe, expect, test } from '@jest/globals';
import { damaged, damages } from '@loom/shared/testing/damage.ts';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { JsonStrings } from '../../src/core/json-strings.ts';
import { scanBody } from '../../src/core/scan-body.ts';

/** Texts whose tokens are short, and long ones, with quotes and backslashes anywhere. */
const words = fc
  .tuple(fc.string({ unit: fc.constantFrom('"', '\\', 'a', 'é', '\n', ' '), maxLength: 12 }), fc.nat({ max: 90 }))
  .map(([word, times]) => word.repeat(times));
const block = fc.oneof(
  fc.record({ type: fc.constant('text'), text: words }),
  fc.record({ type: fc.constant('tool_result'), content: words, is_error: fc.boolean() }),
);
const content = fc.oneof(words, fc.array(block, { maxLength: 3 }));
const json = fc
  .record({
    model: words,
    messages: fc.array(fc.record({ role: fc.constantFrom('user', 'assistant'), content }), { maxLength: 4 }),
    system: content,
  })
  .map((body) => Buffer.from(JSON.stringify(body)));
/** Of a body that is cut anywhere, and now and then all over into single bytes. */
const cuts = fc.array(fc.nat(), { maxLength: 12 });

/** What is known of a body's strings when it has arrived in such pieces; where nothing has come yet, there are quotes. */
function arrive(body: Buffer, places: number[], offset = 0): { bytes: Buffer; strings: JsonStrings } {
  const bytes = Buffer.alloc(body.length + offset + 8, '"').subarray(offset, offset + body.length);
  const strings = new JsonStrings(bytes);
  const ends = places.map((place) => place % (body.length + 1)).sort((a, b) => a - b);
  let at = 0;
  for (const end of [...ends, body.length]) {
    body.copy(bytes, at, at, end);
    strings.lookAhead(end);
    at = end;
  }
  return { bytes, strings };
}

/** The tree without the bytes, which take long to compare. */
function found(body: Buffer, strings?: JsonStrings) {
  const tree = scanBody(body, strings);
  return tree && { ...tree, bytes: undefined };
}

describe('a body that is looked through while it arrives', () => {
  test('is scanned as if it had come at once, however it is cut and wherever it lies', () => {
    holds(
      fc.property(json, cuts, fc.nat({ max: 3 }), (body, places, offset) => {
        const { bytes, strings } = arrive(body, places, offset);

        expect(found(bytes, strings)).toEqual(found(body));
      }),
      300,
    );
  });

  test('is scanned so byte by byte', () => {
    holds(
      fc.property(json, (body) => {
        const { bytes, strings } = arrive(
          body,
          Array.from(body, (_, at) => at),
        );

        expect(found(bytes, strings)).toEqual(found(body));
      }),
      30,
    );
  });

  test('is followed or not as if it had come at once, whatever was done to it', () => {
    const met = new Set<boolean>();
    holds(
      fc.property(json, damages, cuts, (body, list, places) => {
        const spoilt = damaged(body, list);
        const { bytes, strings } = arrive(spoilt, places);
        const tree = found(bytes, strings);
        met.add(tree !== undefined);

        expect(tree).toEqual(found(spoilt));
      }),
      1_000,
    );
    reaches(met, [true, false]);
  });

  test('tells where any string ends, in whatever order it is asked', () => {
    holds(
      fc.property(json, damages, cuts, fc.array(fc.nat(), { maxLength: 20 }), (body, list, places, asked) => {
        const { bytes, strings } = arrive(damaged(body, list), places);
        const starts = asked.map((at) => bytes.indexOf('"', at % bytes.length)).filter((start) => start >= 0);

        const tokens = starts.map((start) => /^"(?:[^"\\]|\\[\s\S])*"/.exec(bytes.toString('latin1', start))?.[0]);
        expect(starts.map((start) => strings.endOf(start))).toEqual(
          tokens.map((token, index) => (token === undefined ? -1 : (starts[index] as number) + token.length)),
        );
      }),
      200,
    );
  });
});

test('a long string is not looked through again', () => {
  const text = `{"a":"${'a'.repeat(100_000)}","b":"${'\\"'.repeat(5_000)}"}`;
  const { bytes, strings } = arrive(Buffer.from(text), [50_000, 100_003]);
  // What is asked for from here on can only be remembered.
  bytes.fill('x');

  expect([strings.endOf(5), strings.endOf(100_012)]).toEqual([100_007, 110_014]);
});
