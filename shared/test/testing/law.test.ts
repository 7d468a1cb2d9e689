import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';

const folder = mkdtempSync(join(tmpdir(), 'loom-law-'));
const { LOOM_FUZZ_MS, LOOM_FUZZ_SEED, LOOM_FUZZ_REPORT } = process.env;
afterEach(() => {
  for (const [name, value] of Object.entries({ LOOM_FUZZ_MS, LOOM_FUZZ_SEED, LOOM_FUZZ_REPORT })) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function casesOf(runs: number): number[] {
  const cases: number[] = [];
  holds(
    fc.property(fc.nat(), (number) => cases.push(number) > 0),
    runs,
  );
  return cases;
}

describe('holds', () => {
  test('tries so many cases, always the same ones', () => {
    delete process.env['LOOM_FUZZ_MS'];
    delete process.env['LOOM_FUZZ_SEED'];

    expect(casesOf(30)).toHaveLength(30);
    expect(casesOf(30)).toEqual(casesOf(30));
  });

  test('fails with the smallest case, how it was found, and the cause', async () => {
    const small = (number: number) => expect(number).toBeLessThan(1_000);
    const synchronous = () => holds(fc.property(fc.nat(), small), 200);
    const asynchronous = () =>
      holds(
        fc.asyncProperty(fc.nat(), async (number) => small(number)),
        200,
      );

    expect(synchronous).toThrow(/seed: \d+, path: "[\d:]+"[\s\S]*Counterexample: \[1000\]/);
    await expect(asynchronous()).rejects.toThrow(/Counterexample: \[1000\]/);
  });

  test('tries other cases from another seed for as long as it is given, and tells of them', () => {
    const report = join(folder, 'report');
    delete process.env['LOOM_FUZZ_SEED'];
    delete process.env['LOOM_FUZZ_MS'];
    const usual = casesOf(5);
    Object.assign(process.env, { LOOM_FUZZ_MS: '20', LOOM_FUZZ_SEED: '7', LOOM_FUZZ_REPORT: report });

    const cases = casesOf(5);

    expect(cases.slice(0, 5)).not.toEqual(usual);
    expect(JSON.parse(readFileSync(report, 'utf8'))).toEqual({
      law: expect.stringMatching(/^holds tries other/),
      seed: 7,
      runs: cases.length,
    });
  });
});
