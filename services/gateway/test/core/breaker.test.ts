import { describe, expect, test } from '@jest/globals';
import { Breaker } from '../../src/core/breaker.ts';

/** Misses until it opens at the time 0. */
function opened(): Breaker {
  const breaker = new Breaker();
  for (let miss = 0; miss < 3; miss++) breaker.missed(0);
  return breaker;
}

describe('Breaker', () => {
  test('opens at the third miss in a row', () => {
    const breaker = new Breaker();
    const states = [breaker.isOpen];
    for (const event of ['miss', 'miss', 'answer', 'miss', 'miss', 'miss']) {
      if (event === 'miss') breaker.missed(0);
      else breaker.succeeded();
      states.push(breaker.isOpen);
    }

    expect(states).toEqual([false, false, false, false, false, false, true]);
  });

  test('pauses for 1 s, twice as long after each probe that misses, and never longer than 15 s', () => {
    const breaker = opened();
    const pauses: number[] = [];
    let nowMs = 0;
    for (let probe = 0; probe < 7; probe++) {
      let pauseMs = 0;
      while (!breaker.allows(nowMs + pauseMs)) pauseMs += 500;
      pauses.push(pauseMs);
      nowMs += pauseMs;
      breaker.missed(nowMs);
    }

    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  });

  test('lets one question probe at a time, until it is settled', () => {
    const breaker = opened();

    const first = [breaker.allows(999), breaker.allows(1_000), breaker.allows(1_000), breaker.allows(60_000)];
    breaker.abandoned();
    const second = [breaker.allows(60_000), breaker.allows(60_000)];

    expect([first, second]).toEqual([
      [false, true, false, false],
      [true, false],
    ]);
  });

  test('closes at any answer, and begins anew with 1 s', () => {
    const breaker = opened();
    breaker.allows(1_000);
    breaker.missed(1_000);
    breaker.succeeded();

    const closed = [breaker.isOpen, breaker.allows(1_000)];
    for (let miss = 0; miss < 3; miss++) breaker.missed(5_000);

    expect([closed, breaker.allows(5_999), breaker.allows(6_000)]).toEqual([[false, true], false, true]);
  });

  test('is not held open longer by questions that were asked before it opened', () => {
    const breaker = opened();
    for (let miss = 0; miss < 10; miss++) breaker.missed(10);

    expect(breaker.allows(1_000)).toBe(true);
  });
});
