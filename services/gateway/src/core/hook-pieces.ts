import { Metadata } from '@loom/shared/metadata.ts';

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
const WRAPPERS = [
  { open: '<system-reminder>', close: '</system-reminder>', needsPrefix: true },
  { open: '<user-prompt-submit-hook>', close: '</user-prompt-submit-hook>', needsPrefix: false },
];

interface Line extends TextRange {
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
 * findHookPieces('<system-reminder>\nUserPromptSubmit hook additional context: {"canary":"LOOM_…"}\n</system-reminder>', 'user', accept)
 * // { found: [{ canary: 'LOOM_…' }], cuts: [{ start: 0, end: 103 }] }
 */
export function findHookPieces(text: string, role: string, accept: AcceptMetadata): HookPieces {
  const lines = findLines(text, accept);
  const pieces: HookPieces = { found: [], cuts: [] };
  if (role === 'system') {
    for (const line of lines) {
      const start = prefixStart(text, line.start);
      if (start === undefined) continue;
      pieces.found.push(line.metadata);
      pieces.cuts.push(withJoiner(text, { start, end: line.end }, 0, text.length));
    }
    return pieces;
  }
  for (const wrapper of leadingWrappers(text, lines)) {
    pieces.found.push(...wrapper.lines.map((line) => line.metadata));
    pieces.cuts.push(...cutsInWrapper(text, wrapper));
  }
  return pieces;
}

/** Every one-line JSON object with the canary that begins a line, or stands behind a wrapper's tag or a prefix. */
function findLines(text: string, accept: AcceptMetadata): Line[] {
  const lines: Line[] = [];
  let at = 0;
  for (;;) {
    const hit = text.indexOf('LOOM_METADATA_', at);
    if (hit < 0) return lines;
    at = hit + 1;
    const lineStart = text.lastIndexOf('\n', hit) + 1;
    const start = text.indexOf('{', lineStart);
    const end = start >= 0 && start < hit ? objectEnd(text, start) : undefined;
    if (end === undefined || end < hit || !isHead(text.slice(lineStart, start))) continue;
    const metadata = parseMetadata(text.slice(start, end));
    if (!metadata || !accept(text.slice(start, end), metadata)) continue;
    lines.push({ start, end, metadata });
    at = end;
  }
}

function isHead(head: string): boolean {
  const wrapper = WRAPPERS.find(({ open }) => head.startsWith(open));
  const rest = wrapper ? head.slice(wrapper.open.length) : head;
  return rest === '' || (HOOK_PREFIX.test(rest) && rest.replace(HOOK_PREFIX, '') === '');
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

/** The end of the object that begins at `start`, on the same line; braces inside strings do not count. */
function objectEnd(text: string, start: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === '\n') return undefined;
    if (inString) {
      if (char === '\\') at++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{') depth++;
    else if (char === '}' && --depth === 0) return at + 1;
  }
  return undefined;
}

/** Where the hook's prefix before the object begins, if it has one of its own at the start of a line. */
function prefixStart(text: string, objectStart: number): number | undefined {
  const lineStart = text.lastIndexOf('\n', objectStart - 1) + 1;
  const head = text.slice(lineStart, objectStart);
  return HOOK_PREFIX.test(head) && head.replace(HOOK_PREFIX, '') === '' ? lineStart : undefined;
}

interface Wrapper {
  outer: TextRange;
  inner: TextRange;
  lines: Line[];
}

/** The wrappers with which the text begins, one behind the other, that hold at least one block. */
function leadingWrappers(text: string, lines: Line[]): Wrapper[] {
  const wrappers: Wrapper[] = [];
  let at = skipSpace(text, 0);
  for (;;) {
    const kind = WRAPPERS.find(({ open }) => text.startsWith(open, at));
    if (!kind) return wrappers;
    const innerStart = at + kind.open.length;
    // A prompt inside the block may itself hold the closing tag: look for it behind the object.
    let innerEnd = text.indexOf(kind.close, innerStart);
    const inside: Line[] = [];
    for (const line of lines) {
      if (line.start < innerStart || innerEnd < 0 || line.start > innerEnd) continue;
      inside.push(line);
      innerEnd = text.indexOf(kind.close, line.end);
    }
    if (innerEnd < 0) return wrappers;
    const outer = { start: at, end: innerEnd + kind.close.length };
    const inner = { start: innerStart, end: innerEnd };
    const opening = text.slice(skipSpace(text, innerStart), innerEnd);
    if (inside.length > 0 && (!kind.needsPrefix || HOOK_PREFIX.test(opening)))
      wrappers.push({ outer, inner, lines: inside });
    at = skipSpace(text, outer.end);
  }
}

/** The whole wrapper where nothing else is in it, else just our objects, each with one joiner. */
function cutsInWrapper(text: string, { outer, inner, lines }: Wrapper): TextRange[] {
  let rest = '';
  let at = inner.start;
  const cuts: TextRange[] = [];
  for (const line of lines) {
    const own = prefixStart(text, line.start);
    // The first context of a wrapper shares its prefix with those behind it.
    const sharesPrefix = own !== undefined && !startsWithPrefix(text, skipLineBreaks(text, line.end), inner.end);
    const start = own !== undefined && !sharesPrefix ? own : line.start;
    rest += text.slice(at, line.start).replace(/[\w:.-]+ hook (?:additional context|success): $/, '');
    at = line.end;
    cuts.push(withJoiner(text, { start, end: line.end }, inner.start, inner.end));
  }
  rest += text.slice(at, inner.end);
  if (rest.trim() !== '') return mergeCuts(cuts);
  return [{ start: outer.start, end: skipSpace(text, outer.end) }];
}

function startsWithPrefix(text: string, at: number, end: number): boolean {
  return at < end && HOOK_PREFIX.test(text.slice(at, Math.min(end, at + 160)));
}

/** Takes the line breaks behind the piece along, or, where it is the last one, those before it. */
function withJoiner(text: string, piece: TextRange, from: number, to: number): TextRange {
  const behind = skipLineBreaks(text, piece.end);
  if (behind > piece.end && behind < to && text.slice(behind, to).trim() !== '')
    return { start: piece.start, end: behind };
  let start = piece.start;
  while (start > from && text[start - 1] === '\n') start--;
  // Something before it: only the joiner goes, else the wrapper's own line break stays.
  return text.slice(from, start).trim() === '' ? piece : { start, end: piece.end };
}

function mergeCuts(cuts: TextRange[]): TextRange[] {
  const merged: TextRange[] = [];
  for (const cut of cuts) {
    const last = merged.at(-1);
    if (last && cut.start <= last.end) last.end = Math.max(last.end, cut.end);
    else merged.push({ ...cut });
  }
  return merged;
}

function skipLineBreaks(text: string, at: number): number {
  while (text[at] === '\n') at++;
  return at;
}

function skipSpace(text: string, at: number): number {
  while (at < text.length && /\s/.test(text[at] as string)) at++;
  return at;
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
