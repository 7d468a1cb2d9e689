import { inert } from '@loom/shared/plain.ts';
import stringWidth from 'string-width';

export type Style = 'green' | 'blue' | 'cyan' | 'yellow' | 'red' | 'dim' | 'bold';

/** Where lines are shown. */
export interface Screen {
  /** How wide a line may be, in cells. */
  columns: number;
  /** Gives a text its colour, or leaves it as it is where nobody sees colours. */
  paint(style: Style, text: string): string;
  /** The time of day of a Unix time in milliseconds, as the operator's clock shows it: `14:03:22`. */
  clock(time: number): string;
}

/** A piece of a line: a text, alone or with its style. */
export type Piece = string | readonly [Style, string];

const ASCII = /^[ -~]*$/;
const graphemes = new Intl.Segmenter();

/** How many cells pieces take together: a character of East Asia or an emoji takes two. */
export function widthOf(...pieces: readonly Piece[]): number {
  return pieces.map(textOf).reduce((total, text) => total + (ASCII.test(text) ? text.length : stringWidth(text)), 0);
}

/** A piece without its style. */
export function textOf(piece: Piece): string {
  return typeof piece === 'string' ? piece : piece[1];
}

/**
 * Cuts a text to so many cells, between characters as a reader sees them; what was cut shows as `…`.
 *
 * @example
 * cut('tea at four', 6); // 'tea a…'
 */
export function cut(text: string, columns: number): string {
  // Nothing takes less than no cell, so whatever is longer than this is cut anyway, and is not measured as a whole.
  if (text.length <= columns * 4 && widthOf(text) <= columns) return text;
  if (columns < 1) return '';
  let kept = '';
  let width = 0;
  for (const { segment } of graphemes.segment(text)) {
    width += widthOf(segment);
    if (width > columns - 1) break;
    kept += segment;
  }
  return `${kept.trimEnd()}…`;
}

/**
 * Joins pieces to one line that fits the screen. Whatever they hold, a terminal only shows it: see `inert`.
 *
 * @example
 * fitLine([['green', '→'], ' tea at four'], screen); // '→ tea at four', with a green arrow
 */
export function fitLine(pieces: readonly Piece[], { columns, paint }: Screen): string {
  let line = '';
  let left = columns;
  for (const piece of pieces) {
    const [style, text] = typeof piece === 'string' ? [undefined, piece] : piece;
    const whole = inert(text);
    const shown = cut(whole, left);
    if (shown !== '') line += style ? paint(style, shown) : shown;
    left -= widthOf(shown);
    if (shown !== whole) break;
  }
  return line.trimEnd();
}

/** Fills a text up with blanks to so many cells; `start` puts them before it. */
export function pad(text: string, columns: number, side: 'start' | 'end' = 'end'): string {
  const blanks = ' '.repeat(Math.max(0, columns - widthOf(text)));
  return side === 'start' ? blanks + text : text + blanks;
}
