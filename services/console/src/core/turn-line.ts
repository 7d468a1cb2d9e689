import type { DataOf, LoomEvent } from '@loom/shared/event.ts';
import { cacheShare, counted, dollars, seconds, times, tokensInOut } from '@loom/shared/figures.ts';
import { plain } from '@loom/shared/plain.ts';
import { cut, fitLine, type Piece, type Screen, widthOf } from './screen.ts';
import { shortSession } from './session.ts';

/** What is said of a turn, and how soon it is left out where the line is short: the highest rank goes first. */
export interface Fact {
  rank: number;
  piece: Piece;
}

/** Cells that are kept for what was asked and answered. */
const WORDS = 28;

/**
 * Writes a turn as one line: when it ended, session, figures, prompt → answer. A wide line tells all figures, a short
 * one those that matter most.
 *
 * @example
 * formatTurnEnded(event, screen);
 * // '14:03:22 3f2a91c0 · 20.0k in, 600 out · $0.12 · 12.5 s · The basil… → Your notes…'
 */
export function formatTurnEnded({ subject, data }: LoomEvent<'turn.ended'>, screen: Screen): string {
  const head: Piece[] = [['dim', screen.clock(Date.parse(data.endedAt))], ' ', ['cyan', shortSession(subject)]];
  const facts = figuresOf(data);
  const width = () => widthOf(...head, ...separated(facts.map(({ piece }) => piece)));
  while (facts.length > 0 && width() > screen.columns - WORDS) {
    const last = facts.reduce((least, fact) => (fact.rank > least.rank ? fact : least));
    if (last.rank === 0) break;
    facts.splice(facts.indexOf(last), 1);
  }
  const left = screen.columns - width() - widthOf(' · ');
  const pieces = [...head, ...separated(facts.map(({ piece }) => piece)), ...wordsOf(data, left)];
  return fitLine(pieces, screen);
}

/** Writes the start of a turn as one line. */
export function formatTurnStarted({ subject, data }: LoomEvent<'turn.started'>, screen: Screen): string {
  const { startedAt, profile, prompt } = data;
  const text = `${screen.clock(Date.parse(startedAt))} ${shortSession(subject)} · ${profile} · started`;
  return fitLine([['dim', prompt ? `${text} · ${plain(prompt)}` : text]], screen);
}

/** A turn's figures, each as a piece, in the order in which they are read. */
export function figuresOf(data: DataOf<'turn.ended'>): Fact[] {
  const { profile, models, calls, tools, tokens, costUsd, durationMs, endReason, errorType } = data;
  const count = counted(calls.main + calls.subagent + calls.compaction, 'call');
  const kinds = [
    calls.subagent > 0 && `${calls.subagent} by subagents`,
    calls.compaction > 0 && counted(calls.compaction, 'compaction'),
    calls.retried > 0 && `${calls.retried} retried`,
    calls.failed > 0 && `${calls.failed} failed`,
  ].filter((kind) => kind !== false);
  const used = tools.map(({ name, calls: uses, errors }) => {
    return `${times(name, uses)}${errors > 0 ? ` (${errors} failed)` : ''}`;
  });
  const isOrdinary = endReason === 'end_turn';
  const facts: (Fact | false)[] = [
    { rank: 9, piece: plain(profile) },
    { rank: 5, piece: plain(models.join(', ')) || 'unknown model' },
    { rank: 6, piece: kinds.length > 0 ? `${count} (${kinds.join(', ')})` : count },
    used.length > 0 && { rank: 8, piece: plain(used.join(', ')) },
    { rank: 2, piece: tokensInOut(tokens.prompt, tokens.completion) },
    ...cacheShare(tokens.cacheRead, tokens.prompt).map((piece) => ({ rank: 4, piece })),
    { rank: 3, piece: dollars(costUsd) },
    { rank: 1, piece: seconds(durationMs) },
    !isOrdinary && { rank: 0, piece: [endReason === 'error' ? 'red' : 'yellow', plain(errorType ?? endReason)] },
  ];
  return facts.filter((fact) => fact !== false);
}

/** Prompt → answer; with both, the prompt takes no more than half of the room. */
function wordsOf({ prompt, answer }: DataOf<'turn.ended'>, columns: number): Piece[] {
  const words: Piece[] = [];
  const room = answer === null ? columns : Math.max(1, Math.floor(columns / 2) - 2);
  if (prompt !== null) words.push(' · ', ['green', cut(plain(prompt), room)]);
  if (answer !== null) words.push(' → ', ['blue', plain(answer)]);
  return words;
}

/** Each piece after a ` · `. */
function separated(pieces: Piece[]): Piece[] {
  return pieces.flatMap((piece) => [' · ', piece]);
}
