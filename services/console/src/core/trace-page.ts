import { cacheShare, dollars, seconds, tokensInOut } from '@loom/shared/figures.ts';
import { plain } from '@loom/shared/plain.ts';
import type { SummarySpan, TurnSummary } from '@loom/shared/turn-summary.ts';
import { cut, fitLine, type Piece, pad, type Screen, type Style, widthOf } from './screen.ts';
import { shortSession } from './session.ts';
import { type Branch, growTree } from './span-tree.ts';
import { figuresOf } from './turn-line.ts';

/** From so many columns on, each span shows where in the turn it lies. */
const WIDE = 110;
const BAR_COLUMNS = 24;
const TIME_COLUMNS = 9;
const MAX_NAME_COLUMNS = 44;

/**
 * Draws a turn: a line of figures, then its spans as a tree with start (after the turn's) and duration, and what is
 * known of tokens, cost and edits; what finds no room beside a span stands below it.
 *
 * @example
 * formatTrace(summary, screen);
 * // ['2026-01-01 00:00:10 3f2a91c0 · alpha · …', '', 'turn      +0.0 s   12.5 s', '└─ chat   +0.1 s    4.0 s  10.0k in, …']
 */
export function formatTrace({ session, turn, spans }: TurnSummary, screen: Screen): string[] {
  const branches = growTree(spans);
  const start = Math.min(...spans.map(({ startedAt }) => startedAt));
  const end = Math.max(...spans.map(({ endedAt }) => endedAt));
  const half = Math.floor(screen.columns / 2);
  const widths = branches.map(({ stem, span }) => widthOf(stem + plain(span.name)));
  const layout: Layout = {
    start,
    duration: Math.max(1, end - start),
    nameColumns: Math.min(Math.max(...widths), half, MAX_NAME_COLUMNS),
    isWide: screen.columns >= WIDE,
  };
  return [...headOf(session, turn, screen), '', ...branches.flatMap((branch) => rowsOf(branch, layout, screen))];
}

interface Layout {
  /** Of the first span, Unix milliseconds. */
  start: number;
  /** Of all of them, milliseconds. */
  duration: number;
  nameColumns: number;
  isWide: boolean;
}

function headOf(session: string, turn: TurnSummary['turn'], screen: Screen): string[] {
  const day = plain(turn.startedAt).slice(0, 10);
  const head: Piece[] = [
    ['dim', `${day} ${screen.clock(Date.parse(turn.startedAt))} `],
    ['cyan', shortSession(session)],
  ];
  return wrapped(
    head,
    figuresOf(turn).map(({ piece }) => piece),
    '  ',
    screen,
  );
}

function rowsOf({ span, stem, trunk }: Branch, layout: Layout, screen: Screen): string[] {
  const name = cut(plain(span.name), layout.nameColumns - widthOf(stem));
  const blanks = ' '.repeat(layout.nameColumns - widthOf(stem + name));
  const style: Style | undefined = span.status === 'error' ? 'red' : undefined;
  const offset = `+${seconds(span.startedAt - layout.start)}`;
  const duration = seconds(Math.max(0, span.endedAt - span.startedAt));
  const row: Piece[] = [
    ['dim', stem],
    style ? [style, name] : name,
    ['dim', `${blanks} ${pad(offset, TIME_COLUMNS, 'start')}`],
    ` ${pad(duration, TIME_COLUMNS, 'start')}`,
    ...(layout.isWide ? [' ', ['blue', barOf(span, layout)] as const] : []),
  ];
  return wrapped(row, detailsOf(span), `${trunk}   `, screen);
}

/** Where in the turn a span lies; one that takes no time to speak of still shows. */
function barOf({ startedAt, endedAt }: SummarySpan, { start, duration }: Layout): string {
  const cellOf = (time: number) => Math.round(((time - start) / duration) * BAR_COLUMNS);
  const from = Math.min(cellOf(startedAt), BAR_COLUMNS - 1);
  const length = Math.max(1, cellOf(endedAt) - from);
  return `${' '.repeat(from)}${'█'.repeat(length)}${' '.repeat(BAR_COLUMNS - from - length)}`;
}

function detailsOf({ tokens, costUsd, edits = [], errorType, note }: SummarySpan): Piece[] {
  return [
    ...(errorType === undefined ? [] : [['red', plain(errorType)] as const]),
    ...(tokens ? [tokensInOut(tokens.prompt, tokens.completion), ...cacheShare(tokens.cacheRead, tokens.prompt)] : []),
    ...(costUsd === undefined ? [] : [dollars(costUsd)]),
    ...edits.map((edit) => ['yellow', plain(edit)] as const),
    ...(note === undefined ? [] : [['dim', plain(note)] as const]),
  ];
}

/** A row and its details on one line where they fit, else the details below it, on as many lines as they need. */
function wrapped(row: Piece[], details: Piece[], indent: string, screen: Screen): string[] {
  const joined = (pieces: Piece[]) => pieces.flatMap((piece, at) => (at === 0 ? [piece] : [' · ', piece]));

  const beside = [...row, ...(details.length > 0 ? ['  ', ...joined(details)] : [])];
  if (widthOf(...beside) <= screen.columns) return [fitLine(beside, screen)];
  const lines: Piece[][] = [];
  for (const detail of details) {
    const line = lines.at(-1);
    if (line && widthOf(indent, ...joined([...line, detail])) <= screen.columns) line.push(detail);
    else lines.push([detail]);
  }
  return [row, ...lines.map((line): Piece[] => [['dim', indent], ...joined(line)])].map((line) =>
    fitLine(line, screen),
  );
}
