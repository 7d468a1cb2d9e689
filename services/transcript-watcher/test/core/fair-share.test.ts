import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Share, surplusOf } from '../../src/core/fair-share.ts';

const share = (held: number, room = 1_000): Share => ({ held, room });

describe('surplusOf', () => {
  test.each([
    ['half of what it has too many, beside one that has none', share(150), [share(0)], 38],
    ['the last one too many', share(3), [share(0)], 1],
    ['no more than a hundred at a time', share(900), [share(0)], 100],
    ['no more than the others lack', share(200), [share(160, 160), share(0, 10)], 10],
    ['nothing alone', share(300), [], 0],
    ['nothing of its fair share', share(100), [share(150), share(50)], 0],
    ['nothing of one that cannot be shared', share(1), [share(0), share(0)], 0],
    ['nothing of up to a tenth more', share(110), [share(90)], 0],
    ['nothing where nobody has room', share(300, 300), [share(10, 10)], 0],
  ])('is %s', (_, own, others, expected) => {
    expect(surplusOf(own, others)).toBe(expected);
  });

  test('ends soon with about as many for each, whoever takes what is handed over', () => {
    const holdings = fc.array(fc.nat(400), { minLength: 1, maxLength: 6 });
    const law = fc.property(holdings, fc.infiniteStream(fc.nat()), (start, choices) => {
      const held = [...start];
      const total = held.reduce((sum, each) => sum + each, 0);
      const fair = Math.ceil(total / held.length);

      for (let step = 0; step < 40; step += 1) {
        const before = held.map((each) => share(each));
        for (const [at, own] of before.entries()) {
          const others = before.filter((_, other) => other !== at);
          for (let count = surplusOf(own, others); count > 0; count -= 1) {
            const taker = (at + 1 + (choices.next().value % others.length)) % held.length;
            held[at] = (held[at] as number) - 1;
            held[taker] = (held[taker] as number) + 1;
          }
        }
      }

      expect(held.reduce((sum, each) => sum + each, 0)).toBe(total);
      expect(Math.max(...held)).toBeLessThanOrEqual(fair * 1.1);
    });
    fc.assert(law, { seed: 20_261_129, numRuns: 200 });
  });
});
