import { describe, expect, test } from '@jest/globals';
import { deadLetter } from '@loom/shared/dead-letter.ts';
import { describeDeadLetter, findDeadLetter, formatDeadLetter } from '../../src/core/dead-letter.ts';
import { plainScreen } from '../events.ts';

const own = ['type', 'tea.made', 'subject', 's1', 'group', 'of friends', 'reason', 'thirst', 'data', '{"cups":[2]}'];
const { fields } = deadLetter(
  't:dead-letters',
  { key: 't:tea', id: '1-0', fields: own, deliveries: 5 },
  'cook',
  'a\u0007b',
);
const entry = { key: 't:dead-letters', id: `${Date.parse('2026-01-01T00:00:10Z')}-0`, fields };
const letter = {
  id: entry.id,
  type: 'tea.made',
  session: 's1',
  original: own,
  group: 'cook',
  deliveries: '5',
  reason: 'a\u0007b',
  origin: 't:tea',
  originId: '1-0',
};

describe('findDeadLetter', () => {
  test('takes the entry’s own fields from what was put behind them, whatever their names', () => {
    expect(findDeadLetter(entry)).toEqual(letter);
  });

  test('takes an entry that had no fields of an event', () => {
    const bare = { ...entry, fields: fields.slice(own.length) };

    expect(findDeadLetter(bare)).toEqual({ ...letter, type: 'no event', session: '', original: [] });
  });

  test('finds none in an entry that does not end as one', () => {
    expect(findDeadLetter({ ...entry, fields: own })).toBeUndefined();
    expect(findDeadLetter({ ...entry, fields: fields.slice(0, -2) })).toBeUndefined();
    expect(findDeadLetter({ ...entry, fields: [] })).toBeUndefined();
  });
});

describe('formatDeadLetter', () => {
  test('is one line', () => {
    expect(formatDeadLetter(letter, plainScreen(100))).toBe(
      '1767225610000-0 00:00:10 s1 tea.made of t:tea, cook ×5: ab',
    );
  });
});

describe('describeDeadLetter', () => {
  test('shows every field, its data indented, and nothing that a terminal obeys', () => {
    expect(describeDeadLetter({ ...letter, original: [...own, 'note', 'x\u001b[2Jy'] })).toEqual([
      'dead letter 1767225610000-0',
      'from t:tea, entry 1-0',
      'given up by cook after 5 deliveries: ab',
      '',
      'type: tea.made',
      'subject: s1',
      'group: of friends',
      'reason: thirst',
      'data: {',
      '  "cups": [',
      '    2',
      '  ]',
      '}',
      'note: xy',
    ]);
  });

  test('shows data that is no JSON as it is', () => {
    expect(describeDeadLetter({ ...letter, original: ['data', '{"torn'] }).at(-1)).toBe('data: {"torn');
  });
});
