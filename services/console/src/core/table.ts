import { type Piece, pad, textOf, widthOf } from './screen.ts';

/**
 * Sets rows in columns as wide as their widest cell, two blanks apart; a cell that is a number stands to the right.
 *
 * @example
 * alignRows([['stream', 'length'], ['turns', '12']]); // 'stream  length' and 'turns       12'
 */
export function alignRows(rows: readonly Piece[][]): Piece[][] {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, at) => Math.max(...rows.map((row) => widthOf(row[at] ?? ''))));
  return rows.map((row) =>
    row.map((cell, at) => {
      const text = textOf(cell);
      const isNumber = /^\d[\d.]*( [a-zA-Z]+)?$/.test(text);
      const padded = `${at === 0 ? '' : '  '}${pad(text, widths[at] as number, isNumber ? 'start' : 'end')}`;
      return typeof cell === 'string' ? padded : [cell[0], padded];
    }),
  );
}
