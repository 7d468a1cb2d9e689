import { describe, expect, test } from '@jest/globals';
import { eventId } from '../src/event-id.ts';

describe('eventId', () => {
  test('gives ids of version 7, all different, each behind the one before', () => {
    const ids = Array.from({ length: 5_000 }, eventId);

    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.toSorted()).toEqual(ids);
  });

  test('draws other bytes for each', () => {
    const endings = Array.from({ length: 1_000 }, () => eventId().slice(-10));

    expect(new Set(endings).size).toBe(endings.length);
  });
});
