import { describe, expect, test } from '@jest/globals';
import { inBatches } from '../../src/core/line-batches.ts';

describe('inBatches', () => {
  test.each([
    ['as many as go into one', 2, 2, [['1 2', 23]]],
    [
      'more than go into one',
      3,
      2,
      [
        ['1 2', 20],
        ['3', 33],
      ],
    ],
    ['none, behind which there are empty lines', 0, 2, [['', 3]]],
  ])('gives each batch with the offset behind it, of lines that are %s', (_, count, size, expected) => {
    const lines = Array.from({ length: count }, (_, at) => ({ name: at + 1, end: (at + 1) * 10 }));

    const batches = [...inBatches({ lines, end: count * 10 + 3 }, size)];

    expect(batches.map(({ batch, upTo }) => [batch.map(({ name }) => name).join(' '), upTo])).toEqual(expected);
  });
});
