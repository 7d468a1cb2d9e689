import { describe, expect, test } from '@jest/globals';
import { isPartial } from '../../src/core/partial.ts';
import type { TurnRecord } from '../../src/core/record.ts';
import { exchange, recordsOf, type Scene } from '../story.ts';

const recordsFor = (scene: Scene = {}) => recordsOf(exchange('r1', scene));
const isThere = () => false;
const isGone = (gateway: string) => gateway === 'g1';

describe('isPartial', () => {
  test('of an answer whose request, or what became of it, has not come', () => {
    const [received, forwarded, response] = recordsFor() as [TurnRecord, TurnRecord, TurnRecord];
    const some = [[response], [received, response], [forwarded, response], [received, forwarded, response]];

    expect(some.map((records) => isPartial({ records, captures: 0 }, isGone))).toEqual([true, true, true, false]);
  });

  test('of an answer whose content has not come, where any is captured, and its gateway was not killed', () => {
    const records = recordsFor({ capture: 'delta' });
    const hidden = recordsFor({ capture: 'metadata' });

    expect(isPartial({ records, captures: 0 }, isThere)).toBe(true);
    expect(isPartial({ records, captures: 1 }, isThere)).toBe(false);
    expect(isPartial({ records, captures: 0 }, isGone)).toBe(false);
    expect(isPartial({ records: hidden, captures: 0 }, isThere)).toBe(false);
  });

  test('of no request that is open, or never went out', () => {
    const open = recordsFor({ isOpen: true, capture: 'full' });
    const [received, , response] = recordsFor({ failure: { endReason: 'client_closed', status: null } });
    const unsent = [received, response] as TurnRecord[];

    expect([open, unsent].map((records) => isPartial({ records, captures: 0 }, isThere))).toEqual([false, false]);
  });
});
