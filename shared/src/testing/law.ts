import { appendFileSync } from 'node:fs';
import { expect } from '@jest/globals';
import fc from 'fast-check';

const SEED = 20_261_122;
const DEFAULT_RUNS = 100;

/** What `make fuzz` is told of each law, one line of JSON. */
export interface LawReport {
  law: string;
  seed: number;
  runs: number;
  /** The counterexample, how it was found and how to see it again; absent where the law held. */
  failure?: string;
}

/**
 * Holds a law to so many cases: always the same ones under `make test`; under `make fuzz` as many as `LOOM_FUZZ_MS` has
 * time for, from the seed `LOOM_FUZZ_SEED`. With that seed and `LOOM_FUZZ_PATH` alone it tries the one case that failed.
 *
 * @param runs under `make test`; what a case costs times its runs should stay well below a second
 *
 * @example
 * test('reads what it wrote', () => holds(fc.property(fc.string(), (text) => read(write(text)) === text), 500));
 */
export function holds<Ts>(law: fc.IAsyncProperty<Ts>, runs?: number): Promise<void>;
export function holds<Ts>(law: fc.IProperty<Ts>, runs?: number): void;
export function holds<Ts>(
  law: fc.IAsyncProperty<Ts> | fc.IProperty<Ts>,
  runs: number = DEFAULT_RUNS,
): Promise<void> | void {
  const { LOOM_FUZZ_MS: forMs, LOOM_FUZZ_SEED, LOOM_FUZZ_PATH: path } = process.env;
  const seed = LOOM_FUZZ_SEED === undefined ? SEED : Number(LOOM_FUZZ_SEED);
  const budget = forMs === undefined ? { numRuns: runs } : { numRuns: 1e9, interruptAfterTimeLimit: Number(forMs) };
  let last: unknown;
  const run = law.run.bind(law);
  law.run = ((value: Ts) => {
    last = run(value);
    return last;
  }) as typeof run;
  const details = fc.check(law as fc.IProperty<Ts>, { seed, ...budget, ...(path !== undefined && { path }) });
  // An asynchronous law makes a promise of it, whatever the cast says.
  const outcome = details as typeof details | Promise<typeof details>;
  if (!(outcome instanceof Promise)) return conclude(outcome);
  return outcome.then(async (found) => {
    // When the time is over a case may still be under way: it must not meddle with the next law's.
    await last;
    conclude(found);
  });
}

/**
 * Fails unless the cases of a law came to all of these kinds: one that never meets what it is about says nothing. Under
 * `make fuzz` there may have been too little time for that.
 *
 * @param met the kinds that were met
 */
export function reaches(met: Iterable<unknown>, kinds: readonly unknown[]): void {
  if (process.env['LOOM_FUZZ_MS'] === undefined) expect([...met]).toEqual(expect.arrayContaining([...kinds]));
}

function conclude<Ts>(details: fc.RunDetails<Ts>): void {
  // There was no time to end a single case: that says nothing about the law.
  const isUntried = details.interrupted && details.counterexample === null;
  const failure = details.failed && !isUntried ? fc.defaultReportMessage(details) : undefined;
  const { LOOM_FUZZ_REPORT: file } = process.env;
  if (file !== undefined) {
    const law = expect.getState().currentTestName ?? '';
    const report: LawReport = { law, seed: details.seed, runs: details.numRuns, ...(failure && { failure }) };
    appendFileSync(file, `${JSON.stringify(report)}\n`);
  }
  if (failure !== undefined) throw new Error(failure, { cause: details.errorInstance });
}
