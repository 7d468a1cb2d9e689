import type { Series } from './samples.ts';

const WIDTH = 280;
const HEIGHT = 90;
const GAP = 24;
const COLUMNS = 3;
const LABEL = 16;
const COLOURS = { flat: '#2f6f4f', grows: '#b3261e', shown: '#5b6472' } as const;

/** A series as it is drawn. */
export interface Drawn {
  series: Series;
  colour: keyof typeof COLOURS;
  /** Stands beside the name. */
  note: string;
}

/**
 * Draws each series as a small chart of its own, all over the same time.
 *
 * @param fromS from when on the series are judged, seconds since the beginning
 */
export function chart(drawn: readonly Drawn[], fromS: number, title: string): string {
  const rows = Math.ceil(drawn.length / COLUMNS);
  const width = COLUMNS * (WIDTH + GAP) + GAP;
  const height = rows * (HEIGHT + LABEL + GAP) + 2 * GAP;
  const endS = Math.max(1, ...drawn.flatMap(({ series }) => series.points.at(-1)?.s ?? 0));
  const cells = drawn.map((one, index) => {
    const x = GAP + (index % COLUMNS) * (WIDTH + GAP);
    const y = 2 * GAP + Math.floor(index / COLUMNS) * (HEIGHT + LABEL + GAP);
    return cell(one, { x, y, fromS, endS });
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${GAP}" y="${GAP}" font-size="14" fill="#222222">${escaped(title)}</text>`,
    ...cells,
    '</svg>',
    '',
  ].join('\n');
}

function cell({ series, colour, note }: Drawn, place: { x: number; y: number; fromS: number; endS: number }): string {
  const { x, y, fromS, endS } = place;
  const values = series.points.map(({ value }) => value);
  const top = Math.max(...values) * 1.1 || 1;
  const across = (s: number) => round(x + (s / endS) * WIDTH);
  const up = (value: number) => round(y + LABEL + HEIGHT - (value / top) * HEIGHT);
  const line = series.points.map(({ s, value }) => `${across(s)},${up(value)}`).join(' ');
  return [
    `<text x="${x}" y="${y + 10}" fill="#222222">${escaped(series.name)}<tspan fill="${COLOURS[colour]}"> ${escaped(note)}</tspan></text>`,
    `<rect x="${x}" y="${y + LABEL}" width="${WIDTH}" height="${HEIGHT}" fill="none" stroke="#d0d4da"/>`,
    `<rect x="${across(fromS)}" y="${y + LABEL}" width="${round(x + WIDTH - across(fromS))}" height="${HEIGHT}" fill="#f2f5f3"/>`,
    `<text x="${x + 3}" y="${y + LABEL + 11}" fill="#8a919b">${shown(top)} ${series.unit}</text>`,
    `<polyline fill="none" stroke="${COLOURS[colour]}" stroke-width="1.3" points="${line}"/>`,
  ].join('\n');
}

function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
