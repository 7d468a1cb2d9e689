import { readFileSync, writeFileSync } from 'node:fs';
import { firstByteChart } from './chart.ts';
import { judge, type Row } from './goals.ts';
import type { Results } from './results.ts';

const README = new URL('../../README.md', import.meta.url).pathname;
const CHART = 'deploy/bench/first-byte.svg';
const BEGIN = '<!-- bench: written by make bench -->';
const END = '<!-- /bench -->';

/** The goals as a table of Markdown. */
export function tableOf(rows: Row[]): string {
  const mark = ({ met }: Row) => (met === undefined ? '' : met ? 'met' : '**missed**');
  const lines = rows.map((row) => `| ${row.what} | ${row.goal} | ${row.measured} | ${mark(row)} |`);
  return ['| | goal | measured | |', '|---|---|---|---|', ...lines].join('\n');
}

/** Writes the chart, and table and chart between their markers in the README. */
export function writeReport(results: Results): void {
  writeFileSync(new URL(`../../${CHART}`, import.meta.url), firstByteChart(results['first-byte'] ?? []));
  const readme = readFileSync(README, 'utf8');
  const [start, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`expected ${BEGIN} and ${END} in ${README}`);
  const chart = `![What Loom adds to the first byte of an answer](${CHART})`;
  const between = `\n\n${tableOf(judge(results))}\n\n${chart}\n\n`;
  writeFileSync(README, readme.slice(0, start + BEGIN.length) + between + readme.slice(end));
}
