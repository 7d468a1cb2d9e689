import { describe, expect, test } from '@jest/globals';
import { type GroupNote, type GroupStanding, planTrimming, type StreamStanding } from '../../src/core/trimming.ts';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const HOUR = 3_600_000;
const NEWEST = '18446744073709551615-18446744073709551615';

/** A hundred entries, 1-0 to 100-0, all of them there and read by one group. */
const reader: GroupStanding = { name: 'reader', lastId: '100-0', read: 100, idleMs: 0 };
const stream: StreamStanding = {
  ...{ name: 'responses', length: 100, added: 100, firstId: '1-0', lastId: '100-0' },
  groups: [reader],
};
const note: GroupNote = { aliveAt: NOW, lastId: '60-0', index: 60, drift: 0, toldIndex: 0, toldAt: 0 };
/** The same stream after its first 80 entries went. */
const cut: StreamStanding = { ...stream, length: 20, firstId: '81-0' };
const behind = (changes: Partial<GroupStanding> = {}) => [{ ...reader, lastId: '60-0', read: 60, ...changes }];

const plan = (standing: StreamStanding, notes: Record<string, GroupNote> = {}, keep = 10) =>
  planTrimming(standing, notes, { keep, now: NOW });

describe('planTrimming: what may go', () => {
  test('is nothing of a stream that is no longer than it should be', () => {
    expect(plan(stream, {}, 100).trim).toBeUndefined();
  });

  test('is what is over, where nobody reads', () => {
    expect(plan({ ...stream, groups: [] }).trim).toEqual({ before: NEWEST, count: 90 });
  });

  test('is nothing that the slowest group was not given', () => {
    const groups = [reader, ...behind({ name: 'slow' })];

    expect(plan({ ...stream, groups }).trim).toEqual({ before: '60-0', count: 90 });
  });

  test('is nothing that a group has not acknowledged', () => {
    const groups = [{ ...reader, oldestPending: '9-5' }];

    expect(plan({ ...stream, groups }).trim).toEqual({ before: '9-5', count: 90 });
  });

  test.each([
    ['an hour', HOUR, '60-0'],
    ['two days', 48 * HOUR, NEWEST],
  ])('regards a group that was silent for %s', (_, idleMs, before) => {
    expect(plan({ ...stream, groups: behind({ idleMs }) }).trim?.before).toBe(before);
  });

  test('regards a group whose consumers have left for a day after the last of them was seen', () => {
    const left = { ...stream, groups: [{ name: 'reader', lastId: '60-0', read: 60 }] };
    const since = (ms: number) => plan(left, { reader: { ...note, aliveAt: NOW - ms } }).trim?.before;

    expect([since(HOUR), since(25 * HOUR)]).toEqual(['60-0', NEWEST]);
    expect(plan(left).trim?.before).toBe('60-0');
  });

  test('regards a group that had nothing to read for days, from when there is something', () => {
    const quiet = { ...reader, idleMs: 72 * HOUR };
    const { notes } = plan({ ...stream, groups: [quiet] });

    const later = plan({ ...stream, added: 101, lastId: '101-0', groups: [quiet] }, notes);

    expect(later.trim?.before).toBe('100-0');
  });
});

describe('planTrimming: gaps', () => {
  const gap = { stream: 'responses', group: 'reader', state: 'unread', from: '60-0', to: '81-0' };

  test('are what a group was not given and is gone', () => {
    const { gaps, notes } = plan({ ...cut, groups: behind() });

    expect(gaps).toEqual([{ ...gap, lost: 20, index: 80 }]);
    expect(notes).toEqual({ reader: { ...note, toldIndex: 80, toldAt: NOW } });
  });

  test('are none where what is gone was read', () => {
    expect(plan(cut).gaps).toEqual([]);
    expect(plan({ ...cut, groups: behind({ lastId: '80-0', read: 80 }) }).gaps).toEqual([]);
  });

  test('are told once, and later what is new in them', () => {
    const told = { ...note, toldIndex: 70, toldAt: NOW - HOUR };
    const at = (toldAt: number) => plan({ ...cut, groups: behind() }, { reader: { ...told, toldAt } }).gaps;

    expect(at(NOW - HOUR)).toEqual([{ ...gap, lost: 10, index: 80 }]);
    expect(at(NOW - 60_000)).toEqual([]);
    expect(plan({ ...cut, groups: behind() }, { reader: { ...told, toldIndex: 80 } }).gaps).toEqual([]);
  });

  test('are told of a group that read nothing yet, by where it stood', () => {
    const silent = behind({ read: null });

    expect(plan({ ...cut, groups: silent }, { reader: note }).gaps).toEqual([{ ...gap, lost: 20, index: 80 }]);
    expect(plan({ ...cut, groups: behind({ lastId: '0-0', read: null }) }).gaps[0]?.lost).toBe(80);
    // Nobody knows how much.
    expect(plan({ ...cut, groups: silent }).gaps).toEqual([]);
  });

  test('are counted right after an earlier one, from which Redis counts too low', () => {
    // It lost 20, and has read all since: Redis has 80 of 100.
    const { notes } = plan({ ...cut, groups: [{ ...reader, read: 80 }] }, { reader: { ...note, toldIndex: 80 } });
    const later = { ...stream, length: 50, added: 200, firstId: '151-0', lastId: '200-0' };

    const { gaps } = plan({ ...later, groups: [{ ...reader, lastId: '120-0', read: 100 }] }, notes);

    expect(gaps.map(({ lost }) => lost)).toEqual([30]);
  });

  test('are none of a group that is gone, and none of a stream that was made anew', () => {
    expect(plan({ ...cut, groups: behind({ idleMs: 48 * HOUR }) }).gaps).toEqual([]);
    const anew = { ...stream, length: 5, added: 5, firstId: '201-0', lastId: '205-0' };
    const start = [{ ...reader, lastId: '0-0', read: null }];
    expect(plan({ ...anew, groups: start }, { reader: { ...note, toldIndex: 80 } })).toMatchObject({
      gaps: [],
      notes: { reader: { index: 0, toldIndex: 0 } },
    });
  });
});
