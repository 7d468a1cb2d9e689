import { describe, expect, test } from '@jest/globals';
import { decodeEvent, encodeEvent, InvalidEventError } from '@loom/shared/event.ts';
import { plainJson } from '@loom/shared/plain.ts';
import { damaged, damages } from '@loom/shared/testing/damage.ts';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { describeDeadLetter, findDeadLetter, formatDeadLetter } from '../../src/core/dead-letter.ts';
import { toObject } from '../../src/core/entry.ts';
import { formatEntry } from '../../src/core/event-line.ts';
import { widthOf } from '../../src/core/screen.ts';
import { event, plainScreen, responseCompleted, transcriptLine, turnEnded } from '../events.ts';

const known = [
  encodeEvent(event('turn.ended', turnEnded())),
  encodeEvent(event('response.completed', responseCompleted())),
  encodeEvent(event('transcript.line', transcriptLine())),
  encodeEvent(event('spool.full', { gateway: 'g1', dropped: 3 })),
];
const nasty = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    '\u001b[2J\u001b]0;title\u0007',
    '\u202e',
    '\u009b31m',
    '\r\n',
    '\u0000',
    '👩‍💻'.repeat(30),
    '__proto__',
    '-1',
    '{}',
    '[]',
    'null',
  ),
);
const streams = fc.constantFrom(
  'requests',
  'responses',
  'turns',
  'alerts',
  'transcripts',
  'dead-letters',
  'edits:g1',
  'new',
);

/** An entry in which fields were changed, left out, doubled or added, and bytes of its data damaged. */
const fields = fc
  .tuple(
    fc.constantFrom(...known),
    fc.array(fc.tuple(fc.nat(), nasty), { maxLength: 2 }),
    fc.option(damages),
    fc.array(
      fc.tuple(
        fc.oneof(nasty, fc.constantFrom('reason', 'group', 'deliveries', 'origin', 'originid', 'type', 'data')),
        nasty,
      ),
      { maxLength: 4 },
    ),
    fc.nat({ max: 1 }),
  )
  .map(([from, changes, harm, more, odd]) => {
    const list = [...from];
    for (const [at, text] of changes) list[at % list.length] = text;
    const data = list.indexOf('data') + 1;
    if (harm && data > 0) list[data] = damaged(Buffer.from(list[data] ?? ''), harm).toString();
    return [...list, ...more.flat()].slice(odd);
  });

/** What a terminal obeys, hides or turns around. */
const UNSAFE = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

describe('an entry of any fields', () => {
  test('is an event or none, and says why', () => {
    const met = new Set<string>();
    holds(
      fc.property(fields, (list) => {
        try {
          const read = decodeEvent(list);
          met.add('event');
          // What was read is read again.
          expect(decodeEvent(encodeEvent(read))).toEqual(read);
        } catch (error) {
          met.add('none');
          expect(error).toBeInstanceOf(InvalidEventError);
          expect((error as Error).message).toMatch(/^expected /);
        }
      }),
      1_000,
    );
    reaches(met, ['event', 'none']);
  });

  test('is shown as one line that fits and that a terminal only shows', () => {
    holds(
      fc.property(fields, streams, fc.integer({ min: 1, max: 300 }), (list, stream, columns) => {
        const entry = { key: `t:${stream}`, id: '1760000000000-0', fields: list };
        const line = formatEntry(entry, 't', plainScreen(columns));

        expect(line).not.toMatch(UNSAFE);
        expect(widthOf(line)).toBeLessThanOrEqual(columns);
        expect(plainJson(toObject(entry))).not.toMatch(UNSAFE);
      }),
      500,
    );
  });

  test('is told of as a dead letter, whatever it was', () => {
    holds(
      fc.property(fields, (list) => {
        const letter = findDeadLetter({ key: 't:dead-letters', id: '1760000000000-0', fields: list });
        if (!letter) return;
        for (const line of [...describeDeadLetter(letter), formatDeadLetter(letter, plainScreen(100))].flat())
          expect(String(line)).not.toMatch(UNSAFE);
      }),
      300,
    );
  });
});
