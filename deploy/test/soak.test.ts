import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { chart } from '../soak/chart.ts';
import { reportOf } from '../soak/report.ts';
import { judge, type Point, trendOf } from '../soak/trend.ts';

const series = (count: number, value: (at: number) => number): Point[] =>
  Array.from({ length: count }, (_, at) => ({ s: 10 * at, value: value(at) }));
/** The same noise in each run, between -1 and 1. */
const noise = (at: number) => Math.sin(at * 12.9898) * Math.cos(at * 78.233);

describe('trendOf', () => {
  test('gives the slope by the hour, and how sure it is', () => {
    expect(trendOf(series(20, (at) => at))).toEqual({ perHour: 360, low: 360, high: 360 });
    const noisy = trendOf(series(60, (at) => at + 3 * noise(at)));

    expect(noisy?.perHour).toBeCloseTo(360, -2);
    expect([(noisy?.low ?? 0) < 360, (noisy?.high ?? 0) > 360]).toEqual([true, true]);
  });

  test('is not moved by what stands out alone', () => {
    expect(trendOf(series(20, (at) => (at === 7 ? 1_000 : 5)))?.perHour).toBe(0);
  });

  test('says nothing of four points', () => {
    expect(trendOf(series(4, (at) => at))).toBeUndefined();
  });
});

describe('judge', () => {
  test.each([
    ['a leak', series(60, (at) => 100 + 0.1 * at + noise(at)), 'grows'],
    ['noise', series(60, (at) => 100 + 2 * noise(at)), 'flat'],
    ['what moves by less than it may', series(60, (at) => 100 + 0.05 * at), 'flat'],
    ['what shrinks', series(60, (at) => 100 - at), 'flat'],
    ['two points', series(2, (at) => 100 + 50 * at), 'too few points'],
  ])('says of %s that it is what it is', (_, points, verdict) => {
    expect(judge(points, 4).verdict).toBe(verdict);
  });
});

describe('chart', () => {
  test('draws each series with its name, as text that is only text', () => {
    const drawn = {
      series: { name: 'a <b> & c', unit: 'MB', points: series(3, (at) => at) },
      colour: 'flat',
      note: 'flat',
    } as const;

    const svg = chart([drawn], 10, 'soak');

    expect(svg.match(/<polyline[^>]*points="([^"]*)"/)?.[1]?.split(' ')).toHaveLength(3);
    expect(svg).toContain('a &lt;b> &amp; c');
  });
});

describe('reportOf', () => {
  test('names what grows, and what outgrows its bound; what is only shown is not judged', () => {
    const tolerance = { fixed: 4, part: 0 };
    const all = [
      { name: 'leak', unit: 'MB', points: series(60, (at) => 100 + at), tolerance },
      { name: 'settles late', unit: 'MB', points: series(60, (at) => Math.min(at, 40)), tolerance, settledAt: 0.7 },
      { name: 'full', unit: 'entries', points: series(60, (at) => 10 * at), bound: 500 },
      { name: 'filling', unit: 'entries', points: series(60, (at) => 10 * at), bound: 5_000 },
      { name: 'shown', unit: '', points: series(60, (at) => 10 * at) },
    ];

    const { growing, isJudged, rows } = reportOf(all, 200, 590);

    expect([growing, isJudged]).toEqual([['leak', 'full'], true]);
    expect(rows.map((row) => row.split(' ').at(-1))).toEqual(['grows', 'flat', 'grows', '5000', 'shown']);
  });

  test('does not judge what is too short', () => {
    const points = series(4, (at) => at);
    expect(reportOf([{ name: 'leak', unit: '', points, tolerance: { fixed: 0, part: 0 } }], 0, 40).isJudged).toBe(
      false,
    );
  });
});

test('the README has a place for what make soak finds', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');

  expect(readme).toMatch(/^<!-- soak -->$[\s\S]*^<!-- \/soak -->$/m);
});
