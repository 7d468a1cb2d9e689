import type { Signature } from './packs.ts';

/** A text cut in three: `before + body + after` is the text, and `body` is what the persona's words stand in for. */
export interface Match {
  before: string;
  body: string;
  after: string;
}

/** What a client appends is short, and stands at the end: a summary that quotes it a thousand times costs no more. */
const MAX_KEPT_LENGTH = 32_768;
const MAX_CANDIDATES = 20;

/**
 * Finds a signature in a text, only where its client puts it: somebody who quotes the same words is no match.
 *
 * @param own what the persona says at this place; behind it an `appended` signature stands
 *
 * @example
 * matchSignature(please, 'This session is being continued … tea.\nPlease continue the conversation …');
 * // { before: 'This session is being continued … tea.\n', body: 'Please continue the conversation …', after: '' }
 */
export function matchSignature(signature: Signature, text: string, own = ''): Match | undefined {
  const start = startOf(signature, text);
  if (signature.opens && endOf(signature.opens, text, start) === undefined) return undefined;

  if (signature.sits === 'start') return matchFrom(signature, text, start);
  const candidates = signature.sits === 'appended' ? behind(own, text) : lineStarts(signature.pattern, text);
  return candidates.map((at) => matchFrom(signature, text, at)).find((match) => match !== undefined);
}

/** Where the client's own words can begin: behind white space and what it may put in front of them. */
export function startOf({ leads }: Signature, text: string): number {
  return endOfPieces(leads, text, 0);
}

/** Whether nothing but white space and what the client appends stands in a text from `from` on. */
export function isKept({ keeps }: Pick<Signature, 'keeps'>, text: string, from: number): boolean {
  return endOfPieces(keeps, text, from) === text.length;
}

/** Where each occurrence of a persona's text ends. */
export function endsOf(own: string, text: string): number[] {
  const ends: number[] = [];
  for (let at = text.indexOf(own); own !== '' && at >= 0; at = text.indexOf(own, at + 1)) ends.push(at + own.length);
  return ends;
}

/** The words of `/compact <words>` in the part that is replaced; undefined when the user gave none. */
export function findArgument({ argument }: Signature, body: string): string | undefined {
  if (!argument) return undefined;
  const from = body.indexOf(`\n${argument.from}`);
  if (from < 0) return undefined;
  const words = body.slice(from + 1 + argument.from.length);
  // The client's notice is the last one; an earlier one is the user's.
  const to = argument.to === undefined ? -1 : words.lastIndexOf(`\n${argument.to}`);
  return (to < 0 ? words : words.slice(0, to)).trim() || undefined;
}

function matchFrom(signature: Signature, text: string, at: number): Match | undefined {
  const end = endOf(signature.pattern, text, at);
  if (end === undefined) return undefined;
  const body = text.slice(at, startOfKept(signature, text, end)).trimEnd();
  const isOneLine = !text.slice(end, at + body.length).includes('\n');
  if (signature.sits !== 'start' && !isOneLine) return undefined;
  if (signature.company && body.search(signature.company) < 0) return undefined;
  return { before: text.slice(0, at), body, after: text.slice(at + body.length) };
}

/** Where the pieces begin that the client appends, up to the end of the text: behind them nothing else may stand. */
function startOfKept({ keeps }: Signature, text: string, start: number): number {
  const from = Math.max(start, text.length - MAX_KEPT_LENGTH);
  const rest = text.slice(from);
  const starts = keeps.flatMap((keep) => Array.from(rest.matchAll(keep), ({ index }) => from + index));
  let passed = from;
  for (const start of starts.sort((a, b) => a - b)) {
    // What did not lead to the end from an earlier piece does not from one that was passed over on the way.
    if (start < passed) continue;
    passed = endOfPieces(keeps, text, start);
    if (passed === text.length) return start;
  }
  return text.length;
}

function lineStarts(pattern: RegExp, text: string): number[] {
  return Array.from(text.matchAll(pattern), ({ index }) => index)
    .filter((index) => text.slice(text.lastIndexOf('\n', index - 1) + 1, index).trim() === '')
    .slice(-MAX_CANDIDATES);
}

function behind(own: string, text: string): number[] {
  return endsOf(own, text).map((end) => end + (/^[.\s]*/.exec(text.slice(end))?.[0].length ?? 0));
}

/** Passes over white space and any of the pieces, as often as they come. */
function endOfPieces(pieces: RegExp[], text: string, from: number): number {
  for (let at = from; ; ) {
    const start = endOf(/\s*/, text, at) ?? at;
    const end = pieces.map((piece) => endOf(piece, text, start)).find((found) => found !== undefined && found > start);
    if (end === undefined) return start;
    at = end;
  }
}

function endOf(pattern: RegExp, text: string, at: number): number | undefined {
  const anchored = new RegExp(pattern.source, 'y');
  anchored.lastIndex = at;
  return anchored.test(text) ? anchored.lastIndex : undefined;
}
