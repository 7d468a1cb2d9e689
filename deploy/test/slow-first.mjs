import Sequencer from '@jest/test-sequencer';

/** Kinds of test files, the slow ones first. */
const KINDS = ['.e2e.test.', '.redis.', '.test.'];

/**
 * Jest's order: the slowest file first. Which one that is, it knows from a former run; where there was none it takes the
 * largest for it, and one of a few lines that starts the whole stack would be waited for alone, in the end.
 */
export default class SlowFirst extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    const isKnown = sorted.every(({ duration }) => duration !== undefined);
    return isKnown ? sorted : sorted.toSorted((a, b) => kindOf(a) - kindOf(b));
  }
}

const kindOf = ({ path }) => KINDS.findIndex((kind) => path.includes(kind));
