import { describe, expect, test } from '@jest/globals';
import { compareIds } from '@loom/shared/entry-id.ts';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import type { Entry } from '../../src/core/entry.ts';
import { mergeBatches } from '../../src/core/merge.ts';

const entry = (key: string, id: string): Entry => ({ key, id, fields: [] });

describe('mergeBatches', () => {
  test('orders the entries of several streams by id', () => {
    const merged = mergeBatches([[entry('a', '1-0'), entry('a', '3-0')], [entry('b', '2-0')]], 10);

    expect(merged.map(({ id }) => id)).toEqual(['1-0', '2-0', '3-0']);
  });

  test('leaves for later what a full batch may still have entries before', () => {
    const merged = mergeBatches([[entry('a', '1-0'), entry('a', '2-0')], [entry('b', '3-0')]], 2);

    expect(merged.map(({ id }) => id)).toEqual(['1-0', '2-0']);
  });

  test('reads all entries once and in order, however they lie in the streams', () => {
    const streams = fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 20 }), {
      minLength: 1,
      maxLength: 4,
    });
    holds(
      fc.property(streams, fc.integer({ min: 1, max: 5 }), (contents, limit) => {
        const stored = contents.map((times, at) =>
          times.toSorted((left, right) => left - right).map((time) => entry(`s${at}`, `${time}-0`)),
        );
        const last = new Map<string, string>();
        const seen: Entry[] = [];
        for (;;) {
          const batches = stored.map((entries, at) =>
            entries.filter(({ id }) => compareIds(id, last.get(`s${at}`) ?? '0-0') > 0).slice(0, limit),
          );
          const merged = mergeBatches(batches, limit);
          if (merged.length === 0) break;
          for (const { key, id } of merged) last.set(key, id);
          seen.push(...merged);
        }

        expect(seen.toSorted((left, right) => left.key.localeCompare(right.key))).toEqual(stored.flat());
        expect(seen.map(({ id }) => id)).toEqual(seen.map(({ id }) => id).toSorted(compareIds));
      }),
      200,
    );
  });
});
