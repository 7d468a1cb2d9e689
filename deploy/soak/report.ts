import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chart, type Drawn } from './chart.ts';
import type { Series } from './samples.ts';
import { judge } from './trend.ts';

const ROOT = join(import.meta.dirname, '../..');
const MARKERS = ['<!-- soak -->', '<!-- /soak -->'] as const;

/** What a soak found. */
export interface Report {
  /** A line for each series: its last value, its slope with the confidence interval, and what that means. */
  rows: string[];
  drawn: Drawn[];
  /** The series that grow. */
  growing: string[];
  /** Whether there were points enough to say so. */
  isJudged: boolean;
}

/**
 * Judges every series.
 *
 * @param fromS from when on, seconds since the beginning
 * @param endS when the soak ended
 */
export function reportOf(all: Iterable<Series>, fromS: number, endS: number): Report {
  const report: Report = { rows: [], drawn: [], growing: [], isJudged: false };
  for (const series of all) {
    const { name, unit, points, tolerance, bound, settledAt } = series;
    const judged = points.filter(({ s }) => s >= (settledAt === undefined ? fromS : settledAt * endS));
    const last = points.at(-1)?.value ?? Number.NaN;
    const may = tolerance ? tolerance.fixed + tolerance.part * (judged[0]?.value ?? 0) : Number.POSITIVE_INFINITY;
    const { verdict, trend } = judge(judged, may);
    const outgrows = bound !== undefined && last > bound;
    const word = outgrows ? 'grows' : bound !== undefined ? `bound ${bound.toFixed(0)}` : tolerance ? verdict : 'shown';
    if (word === 'grows') report.growing.push(name);
    report.isJudged ||= tolerance !== undefined && trend !== undefined;
    const slope = trend ? `${signed(trend.perHour)} (${signed(trend.low)} … ${signed(trend.high)}) ${unit}/h` : '';
    report.rows.push(`${name.padEnd(44)} ${`${last.toFixed(1)} ${unit}`.padStart(14)}  ${slope.padEnd(44)} ${word}`);
    report.drawn.push({ series, colour: word === 'grows' || word === 'flat' ? word : 'shown', note: word });
  }
  return report;
}

function signed(value: number): string {
  return `${value >= 0 ? '+' : '−'}${Math.abs(value).toFixed(Math.abs(value) >= 100 ? 0 : 1)}`;
}

/** Draws the chart and puts it into the README with what it means. */
export async function tell(drawn: readonly Drawn[], fromS: number, minutes: number, summary: string): Promise<void> {
  const title = `make soak MINUTES=${minutes.toFixed(0)}: ${summary}`;
  await writeFile(join(import.meta.dirname, 'soak.svg'), chart(drawn, fromS, title));
  const path = join(ROOT, 'README.md');
  const readme = await readFile(path, 'utf8');
  const [from, to] = MARKERS.map((marker) => readme.indexOf(marker)) as [number, number];
  if (from < 0 || to < from) throw new Error(`expected ${MARKERS.join(' … ')} in README.md, got none`);
  const said = `${MARKERS[0]}\n\`make soak MINUTES=${minutes.toFixed(0)}\`: ${summary}.\n\n![every series over the time](deploy/soak/soak.svg)\n`;
  await writeFile(path, readme.slice(0, from) + said + readme.slice(to));
}
