import { describe, expect, test } from '@jest/globals';
import { chart } from '../soak/chart.ts';
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
