import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { BodySha256 } from '../../src/adapters/body-sha256.ts';

const body = randomBytes(1_048_577);
const parts = [body.subarray(0, 200_000), body.subarray(200_000, 200_001), body.subarray(200_001)];
const expected = createHash('sha256').update(body).digest('hex');

/** How many steps a body takes, up to the one that says that it was the last. */
function countSteps(sha256: BodySha256): number {
  let steps = 1;
  while (sha256.step()) steps += 1;
  return steps;
}

describe('BodySha256', () => {
  test('is the same whether none, some or all of it was made in steps', () => {
    const none = new BodySha256(parts);
    const some = new BodySha256(parts);
    for (let at = 0; at < 3; at += 1) some.step();
    const all = new BodySha256(parts);
    countSteps(all);

    expect([none.hex, some.hex, all.hex, all.hex]).toEqual([expected, expected, expected, expected]);
  });

  test('hashes no more than 128 KB in a step, and nothing again', () => {
    const sha256 = new BodySha256(parts);

    expect([countSteps(sha256), countSteps(sha256)]).toEqual([10, 1]);
  });

  test('is that of nothing for an empty body', () => {
    expect(new BodySha256([]).hex).toBe(createHash('sha256').digest('hex'));
  });
});
