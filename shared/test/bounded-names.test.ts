import { describe, expect, test } from '@jest/globals';
import { boundedNames } from '../src/bounded-names.ts';

describe('boundedNames', () => {
  test('lets the first ones through, again and again, and calls the rest other', () => {
    const bounded = boundedNames(2);

    expect(['a', 'b', 'c', 'b', 'd', 'a'].map(bounded)).toEqual(['a', 'b', 'other', 'b', 'other', 'a']);
  });

  test('cuts a long name, through no character', () => {
    expect(boundedNames(1)(`${'x'.repeat(79)}🌱`)).toBe(`${'x'.repeat(79)}\uFFFD`);
  });
});
