import type { FirstByteCell } from './results.ts';

const WIDTH = 720;
const BAR = 26;
const GAP = 12;
const LEFT = 150;
const COLOURS = new Map([
  ['hpm', '#8a94a6'],
  ['loom', '#2f6fde'],
  ['reparse', '#d9822b'],
]);
const NAMES = new Map([
  ['hpm', 'bare proxy'],
  ['loom', 'Loom'],
  ['reparse', 'parse + stringify'],
]);

/** What each target adds to the first byte, by the size of the body, as an SVG; the scale is logarithmic. */
export function firstByteChart(cells: FirstByteCell[]): string {
  const groups = cells.filter(({ newest, answer }) => newest === 'tool-result' && answer === 'json');
  const values = groups.flatMap(({ added }) => Object.values(added));
  const [least, most] = [Math.min(...values) / 2, Math.max(...values) * 1.2];
  const length = (ms: number) => (Math.log(ms / least) / Math.log(most / least)) * (WIDTH - LEFT - 90);
  const parts: string[] = [];
  let y = 54;
  for (const { kilobytes, added } of groups) {
    const size = kilobytes < 1_024 ? `${kilobytes} KB` : `${kilobytes / 1_024} MB`;
    parts.push(`<text x="12" y="${y + 1.5 * BAR}" font-weight="bold">${size}</text>`);
    for (const [name, colour] of COLOURS) {
      const ms = added[name];
      if (ms === undefined) continue;
      const middle = y + BAR / 2 + 4;
      parts.push(
        `<text x="${LEFT - 8}" y="${middle}" text-anchor="end" font-size="11">${NAMES.get(name)}</text>`,
        `<rect x="${LEFT}" y="${y}" width="${Math.max(1, length(ms)).toFixed(1)}" height="${BAR - 4}" fill="${colour}"/>`,
        `<text x="${(LEFT + Math.max(1, length(ms)) + 6).toFixed(1)}" y="${middle}">${ms.toFixed(2)} ms</text>`,
      );
      y += BAR;
    }
    y += GAP;
  }
  const title = 'Added to the first byte of an answer, by the size of the request (logarithmic)';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="sans-serif" font-size="13" fill="#222">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${y}" fill="#fff"/>`,
    `<text x="12" y="28" font-size="15" font-weight="bold">${title}</text>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}
