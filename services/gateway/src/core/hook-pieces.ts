import { CANARY, Metadata } from '@loom/shared/metadata.ts';

/** A range of UTF-16 units, end exclusive. */
export interface TextRange {
  start: number;
  end: number;
}

/** What one text holds of our hook's output. */
export interface HookPieces {
  /** The metadata blocks, in order. */
  found: Metadata[];
  /** What to cut so that exactly the hook's pieces vanish; in order, without overlap. */
  cuts: TextRange[];
}

/** Decides whether a block counts (with a secret: whether it is signed). `line` is the object as it stands in the text. */
export type AcceptMetadata = (line: string, metadata: Metadata) => boolean;

const HOOK_PREFIX = /^[\w:.-]{1,100} hook (?:additional context|success): /;
const LONGEST_PREFIX = 130;
/** Clients cut what a hook says above 10,000 characters, and Loom's own says 8,000 at most: a longer object is no block. */
const LONGEST_BLOCK = 16_384;
/** What the client puts between the texts that it quotes. */
const JOINER = '\n\n';
const WRAPPERS = [
  { open: '<system-reminder>', close: '</system-reminder>', needsPrefix: true },
  { open: '<user-prompt-submit-hook>', close: '</user-prompt-submit-hook>', needsPrefix: false },
];

/** The object of a block. */
interface Line extends TextRange {
  /** Where the hook's prefix in front of the object begins, if it has one of its own. */
  prefixStart: number | undefined;
  metadata: Metadata;
}

/**
 * Finds the metadata blocks of a text: one-line JSON objects that carry the canary, behind a hook's prefix.
 *
 * In a user's message the object must stand in a hook's wrapper with which the text begins, because whoever types or
 * pastes can write anything behind that; a `role: system` text is the client's own, there the prefix at the start of a
 * line is enough (placements: Claude Code 1.0 to 2.1, measured).
 *
 * @example
 * findHookPieces('UserPromptSubmit hook additional context: {"canary":"LOOM_…"}\n\nToday is Sunday.', 'system', accept)
 * // { found: [{ canary: 'LOOM_…' }], cuts: [{ start: 0, end: 63 }] }
 */
export function findHookPieces(text: string, role: string, accept: AcceptMetadata): HookPieces {
  const lines = findLines(text, accept);
  if (role === 'system') {
    const own = lines.filter(({ prefixStart }) => prefixStart !== undefined);
    return {
      found: own.map(({ metadata }) => metadata),
      cuts: cutsOf(text, own, { start: 0, end: text.length }, false),
    };
  }
  const wrappers = wrappersFrom(text, lines, 0);
  return {
    found: wrappers.flatMap((wrapper) => wrapper.lines.map(({ metadata }) => metadata)),
    cuts: wrappers.flatMap(({ inner, lines: inside }) => cutsOf(text, inside, inner, true)),
  };
}

/**
 * Finds the blocks of a text in which the client quotes a conversation (titles, topics: 1.0.128 hands its hooks' output
 * on): their wrappers begin a line anywhere. They are cut, but say nothing about the request.
 */
export function findQuotedPieces(text: string, accept: AcceptMetadata): TextRange[] {
  const lines = findLines(text, accept);
  const cuts: TextRange[] = [];
  for (let next = 0; next < lines.length; ) {
    const line = lines[next] as Line;
    const wrappers = wrappersFrom(text, lines.slice(next), text.lastIndexOf('\n', line.start) + 1);
    cuts.push(...wrappers.flatMap(({ inner, lines: inside }) => cutsOf(text, inside, inner, true)));
    next += Math.max(1, wrappers.flatMap(({ lines: inside }) => inside).length);
  }
  const last = cuts.at(-1);
  if (last?.end === text.length && text.endsWith(JOINER, last.start)) last.start -= JOINER.length;
  return cuts;
}

/** Every one-line JSON object with the canary that begins a line, or stands behind a wrapper's tag or a prefix. */
function findLines(text: string, accept: AcceptMetadata): Line[] {
  const lines: Line[] = [];
  for (let hit = text.indexOf(CANARY); hit >= 0; ) {
    const lineBreak = text.indexOf('\n', hit);
    const lineEnd = lineBreak < 0 ? text.length : lineBreak;
    const line = findLine(text, text.lastIndexOf('\n', hit) + 1, lineEnd, accept);
    if (line) lines.push(line);
    hit = text.indexOf(CANARY, lineEnd);
  }
  return lines;
}

function findLine(text: string, lineStart: number, lineEnd: number, accept: AcceptMetadata): Line | undefined {
  const wrapper = WRAPPERS.find(({ open }) => text.startsWith(open, lineStart));
  const headStart = lineStart + (wrapper?.open.length ?? 0);
  const prefixLength = prefixLengthAt(text, headStart);
  const start = headStart + prefixLength;
  if (text[start] !== '{') return undefined;
  const end = objectEnd(text, start, Math.min(lineEnd, start + LONGEST_BLOCK));
  if (end === undefined) return undefined;
  const metadata = parseMetadata(text.slice(start, end));
  if (!metadata || !accept(text.slice(start, end), metadata)) return undefined;
  return { start, end, metadata, prefixStart: prefixLength > 0 ? headStart : undefined };
}

function prefixLengthAt(text: string, at: number): number {
  return HOOK_PREFIX.exec(text.slice(at, at + LONGEST_PREFIX))?.[0].length ?? 0;
}

function parseMetadata(line: string): Metadata | undefined {
  try {
    const result = Metadata.safeParse(JSON.parse(line));
    return result.success ? result.data : undefined;
  } catch {
    // Not JSON: somebody's text about the canary, no block.
    return undefined;
  }
}

/** The end of the object that begins at `start`; braces inside strings do not count. */
function objectEnd(text: string, start: number, lineEnd: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let at = start; at < lineEnd; at++) {
    const char = text[at];
    if (inString) {
      if (char === '\\') at++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{') depth++;
    else if (char === '}' && --depth === 0) return at + 1;
  }
  return undefined;
}

interface Wrapper {
  inner: TextRange;
  lines: Line[];
}

/** The wrappers that stand there, one behind the other, and hold at least one block. */
function wrappersFrom(text: string, lines: Line[], from: number): Wrapper[] {
  const wrappers: Wrapper[] = [];
  let next = 0;
  for (let at = skipSpace(text, from); ; ) {
    const kind = WRAPPERS.find(({ open }) => text.startsWith(open, at));
    if (!kind) return wrappers;
    const start = at + kind.open.length;
    let end = text.indexOf(kind.close, start);
    const inside: Line[] = [];
    for (let line = lines[next]; line && line.start < end; line = lines[++next]) {
      inside.push(line);
      // A prompt inside the block may itself hold the closing tag: look for it behind the object.
      if (end < line.end) end = text.indexOf(kind.close, line.end);
    }
    if (end < 0) return wrappers;
    const hasPrefix = prefixLengthAt(text, skipSpace(text, start)) > 0;
    if (inside.length > 0 && (hasPrefix || !kind.needsPrefix)) wrappers.push({ inner: { start, end }, lines: inside });
    at = skipSpace(text, end + kind.close.length);
  }
}

/** Our objects with their prefixes and one joiner each; with the wrapper, where nothing else is in it. */
function cutsOf(text: string, lines: Line[], inner: TextRange, canSharePrefix: boolean): TextRange[] {
  return runsOf(text, lines).map(({ start, end, first }) => {
    const behind = text.slice(skipLineBreaks(text, end), inner.end);
    // The first context of a wrapper shares its prefix with those behind it.
    const sharesPrefix = canSharePrefix && behind.trim() !== '' && prefixLengthAt(behind, 0) === 0;
    return withWrapper(text, withJoiner(text, { start: sharesPrefix ? first.start : start, end }, inner));
  });
}

/** Blocks with nothing but white space between them are cut as one, or their joiners would be left, or cut twice. */
function runsOf(text: string, lines: Line[]): (TextRange & { first: Line })[] {
  const runs: (TextRange & { first: Line })[] = [];
  for (const line of lines) {
    const start = line.prefixStart ?? line.start;
    const run = runs.at(-1);
    if (run && text.slice(run.end, start).trim() === '') run.end = line.end;
    else runs.push({ start, end: line.end, first: line });
  }
  return runs;
}

/** Takes the line breaks behind the piece along, or, where it is the last one, those before it. */
function withJoiner(text: string, piece: TextRange, inner: TextRange): TextRange {
  const behind = skipLineBreaks(text, piece.end);
  if (behind > piece.end && text.slice(behind, inner.end).trim() !== '') return { start: piece.start, end: behind };
  let start = piece.start;
  while (start > inner.start && isLineBreak(text[start - 1])) start--;
  // Nothing before it either: the wrapper goes as a whole.
  return text.slice(inner.start, start).trim() === '' ? piece : { start, end: piece.end };
}

/** Takes along the tags that would enclose nothing, and the white space behind them. */
function withWrapper(text: string, piece: TextRange): TextRange {
  let before = piece.start;
  while (before > 0 && isSpace(text[before - 1])) before--;
  const behind = skipSpace(text, piece.end);
  const kind = WRAPPERS.find(({ open, close }) => text.endsWith(open, before) && text.startsWith(close, behind));
  if (!kind) return piece;
  return { start: before - kind.open.length, end: skipSpace(text, behind + kind.close.length) };
}

function skipLineBreaks(text: string, at: number): number {
  while (isLineBreak(text[at])) at++;
  return at;
}

function skipSpace(text: string, at: number): number {
  while (isSpace(text[at])) at++;
  return at;
}

function isLineBreak(char: string | undefined): boolean {
  return char === '\n' || char === '\r';
}

function isSpace(char: string | undefined): boolean {
  if (char === undefined) return false;
  // What is no letter of ASCII is seldom.
  return char === ' ' || char === '\n' || ((char < '!' || char > '~') && /\s/.test(char));
}

/** A text without the cut ranges. */
export function withoutCuts(text: string, cuts: TextRange[]): string {
  let rest = '';
  let at = 0;
  for (const cut of cuts) {
    rest += text.slice(at, cut.start);
    at = cut.end;
  }
  return rest + text.slice(at);
}
