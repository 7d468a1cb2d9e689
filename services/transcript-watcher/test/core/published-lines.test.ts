import { describe, expect, test } from '@jest/globals';
import { PublishedLines } from '../../src/core/published-lines.ts';

describe('PublishedLines', () => {
  test('passes each line over as often as it was published', () => {
    const published = new PublishedLines(['a', 'b', 'a']);

    expect(published.areNew(['a', 'c', 'a', 'a', 'b'])).toEqual([false, true, false, true, false]);
  });

  test('takes nothing by being asked', () => {
    const published = new PublishedLines(['a']);

    expect(published.areNew(['a'])).toEqual([false]);
    expect(published.areNew(['a'])).toEqual([false]);
    expect(published.size).toBe(1);
  });

  test('has a line no longer that was met as often as it was published', () => {
    const published = new PublishedLines(['a', 'a', 'b']);

    published.take(['a', 'c']);
    expect(published.areNew(['a', 'a', 'b'])).toEqual([false, true, false]);
    published.take(['a', 'a', 'b']);
    expect(published.areNew(['a', 'b'])).toEqual([true, true]);
    expect(published.size).toBe(0);
  });
});
