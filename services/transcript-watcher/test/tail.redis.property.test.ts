import { appendFile, readFile, rename, truncate, writeFile } from 'node:fs/promises';
import { afterAll, describe, expect, test } from '@jest/globals';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import fc from 'fast-check';
import { openTailBed } from './fixtures/tail-bed.ts';

const server = await startRedis();
afterAll(() => server.close());

/** What happens to a file, or reads it. */
type Step =
  | { kind: 'append'; bytes: Uint8Array }
  /** Cut short, to a part of its length. */
  | { kind: 'cut'; part: number }
  /** By another file that is renamed to it: an older state of it with more behind, or anything. */
  | { kind: 'replace'; part: number; bytes: Uint8Array }
  | { kind: 'read'; reader: number }
  /** A reader begins anew, as after a restart. */
  | { kind: 'restart'; reader: number }
  /** The reader's process and another one read at the same time. */
  | { kind: 'race' };

const line = fc.constantFrom('a', 'b', '{"type":"user"}', 'ß👩‍💻', '\r', 'a\r', '', ' ', '\0');
/** Whole lines, or a piece of one that ends anywhere, inside of a character too. */
const bytes = fc
  .tuple(fc.array(line, { minLength: 1, maxLength: 4 }), fc.integer({ min: 0, max: 3 }))
  .map(([lines, cut]) => {
    const whole = Buffer.from(lines.map((text) => `${text}\n`).join(''));
    return new Uint8Array(whole.subarray(0, Math.max(1, whole.length - cut)));
  });
const part = fc.double({ min: 0, max: 1, noNaN: true });
const reader = fc.nat({ max: 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('append'), bytes }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('read'), reader }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut'), part }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('replace'), part, bytes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart'), reader }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('race') }) },
);

/** How often each line stands in a file that is complete and not empty; each byte is a character. */
function linesOf(content: Buffer): Map<string, number> {
  const times = new Map<string, number>();
  const lines = content.toString('latin1').split('\n').slice(0, -1);
  for (const text of lines.map((one) => one.replace(/\r$/, '')).filter((one) => one !== ''))
    times.set(text, (times.get(text) ?? 0) + 1);
  return times;
}

describe('a transcript to which anything happens', () => {
  test('has each complete line published as often as it ever stood there, whoever reads', async () => {
    const met = new Set<string>();

    await holds(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), async (steps) => {
        const bed = await openTailBed(server);
        await writeFile(bed.path, '');
        const open = async () => {
          const tail = await bed.openTail();
          await tail.begin('start');
          return tail;
        };
        const tails = [await open(), await open()];
        const expected = new Map<string, number>();
        const look = async () => {
          for (const [text, times] of linesOf(await readFile(bed.path)))
            expected.set(text, Math.max(times, expected.get(text) ?? 0));
        };

        for (const one of [...steps, { kind: 'read', reader: 0 } as const, { kind: 'race' } as const]) {
          const content = await readFile(bed.path);
          if (one.kind === 'append') await appendFile(bed.path, one.bytes);
          else if (one.kind === 'cut') await truncate(bed.path, Math.floor(content.length * one.part));
          else if (one.kind === 'replace') {
            const kept = content.subarray(0, Math.floor(content.length * one.part));
            await writeFile(`${bed.path}.tmp`, Buffer.concat([kept, one.bytes]));
            await rename(`${bed.path}.tmp`, bed.path);
          } else if (one.kind === 'restart') tails[one.reader] = await open();
          else {
            await look();
            const readers = one.kind === 'race' ? tails : [tails[one.reader]];
            await Promise.all(readers.map((tail) => tail?.read()));
          }
        }

        // As its event shows it: what is no UTF-8 looks the same there.
        const shown = [...expected].flatMap(([text, times]) =>
          Array.from({ length: times }, () => Buffer.from(text, 'latin1').toString()),
        );
        const published = (await bed.lines()).map(({ data }) => String(data.line));
        if (tails.some((tail) => tail.counters.discontinuities > 0)) met.add('discontinuity');
        if (shown.length > 5) met.add('many lines');
        await bed.close();
        expect(published.sort()).toEqual(shown.sort());
      }),
      10,
    );

    reaches(met, ['discontinuity', 'many lines']);
  });
});
