import type { Edit } from '@loom/shared/edit.ts';
import type { DataOf, RequestView } from '@loom/shared/event.ts';
import type { Signature } from './packs.ts';
import type { CompactionPrompts } from './prompts.ts';
import { endsOf, findArgument, isKept, type Match, matchSignature, startOf } from './signature.ts';

type Request = Pick<DataOf<'request.received'>, 'class' | 'path' | 'view' | 'contextCompacted'>;
type Phase = Signature['phase'];

/** What the persona says: now, and, after a compaction that it has begun, what it said then. */
export interface Voices {
  current: CompactionPrompts;
  pinned?: CompactionPrompts | undefined;
}

/** What to do with a request, and why. */
export interface Rewriting {
  edits: Edit[];
  /** Labels of the signatures that were found. */
  found: string[];
  /** A wording that no signature knows: the first 200 characters of an instruction, the last 200 of a continuation. */
  unrecognised?: { reason: string; opening: string };
}

const MAX_OPENING = 200;
const UNKNOWN_INSTRUCTION = 'no signature knows the instruction of this compaction';
const UNKNOWN_CONTINUATION = 'no signature knows the sentence that goes on after this compaction';

/**
 * Proposes the edits that let a persona stay itself through a compaction.
 *
 * Each phase is recognised by its own signature, where the client puts it and nowhere else: a user who quotes the
 * sentence triggers nothing. A request that was rewritten before yields no edits, so redelivery is harmless.
 * The instruction is read from `view.last`, the summarizer and the continuation from `view.matched`.
 *
 * @example
 * rewriteCompaction(request, { current: prompts }, signatures).edits;
 * // [{ op: 'replace', path: '/system/1/text', value: prompts.identity }, …]
 */
export function rewriteCompaction(request: Request, { current, pinned }: Voices, signatures: Signature[]): Rewriting {
  const isCompaction = request.class === 'compaction';
  if ((request.class !== 'main' && !isCompaction) || isCountTokens(request.path)) return { edits: [], found: [] };

  const of = (phase: Phase) => signatures.filter((signature) => signature.phase === phase);
  const continuations = rewriteContinuations(request.view, pinned ?? current, of('continuation'));
  if (!isCompaction) {
    const drifted = request.contextCompacted ? findDrift(request.view, pinned ?? current, signatures) : undefined;
    return drifted === undefined ? continuations : { ...continuations, unrecognised: drifted };
  }

  const system = rewriteSystem(request.view, current, of('system'));
  // Where the client has no summarizer of its own, its system prompt is cached and stays: the persona says here who it is.
  const introduction = system.found.length === 0 ? [current.identity] : [];
  const instruction = rewriteInstruction(request.view, current, introduction, of('instruction'));
  return {
    ...instruction,
    edits: [...system.edits, ...instruction.edits, ...continuations.edits],
    found: [...system.found, ...instruction.found, ...continuations.found],
  };
}

function isCountTokens(path: string): boolean {
  return path.split('?')[0]?.endsWith('/count_tokens') === true;
}

function rewriteSystem(view: RequestView | undefined, prompts: CompactionPrompts, signatures: Signature[]): Rewriting {
  const rewriting: Rewriting = { edits: [], found: [] };
  for (const { pointer, text } of textsOf(view)) {
    const found = pointer.startsWith('/system/') ? findFirst(signatures, text) : undefined;
    if (!found) continue;
    rewriting.found.push(found.signature.label);
    const value = found.match.before + prompts.identity + found.match.after;
    if (value !== text) rewriting.edits.push({ op: 'replace', path: pointer, value });
  }
  return rewriting;
}

function rewriteInstruction(
  view: RequestView | undefined,
  prompts: CompactionPrompts,
  introduction: string[],
  signatures: Signature[],
): Rewriting {
  const last = view?.last;
  const isInstructed = ({ text = '' }: { text?: string | undefined }) =>
    !signatures.some((signature) => isKept(signature, text, startOf(signature, text)));
  const index = last?.role === 'user' ? last.content.findLastIndex(isInstructed) : -1;
  const text = last?.content[index]?.text ?? '';
  if (signatures.some((signature) => isOwn(signature, prompts, text))) return { edits: [], found: [] };
  const found = findFirst(signatures, text);
  if (!last || !found)
    return { edits: [], found: [], unrecognised: { reason: UNKNOWN_INSTRUCTION, opening: text.slice(0, MAX_OPENING) } };

  const { match, signature } = found;
  const argument = findArgument(signature, match.body);
  const words = [...introduction, prompts.compact];
  if (argument) words.push(`${prompts.argumentLead}\n${argument}`);
  if (signature.needs) words.push(signature.needs);
  const value = match.before + words.join('\n\n') + match.after;
  return {
    edits: [{ op: 'replace', path: `${last.pointer}/content/${index}/text`, value }],
    found: [signature.label],
  };
}

function isOwn(signature: Signature, { identity, compact }: CompactionPrompts, text: string): boolean {
  const start = startOf(signature, text);
  return text.startsWith(identity, start) || text.startsWith(compact, start);
}

function rewriteContinuations(
  view: RequestView | undefined,
  { continuation }: CompactionPrompts,
  signatures: Signature[],
): Rewriting {
  const rewriting: Rewriting = { edits: [], found: [] };
  for (const { pointer, role, text } of textsOf(view)) {
    if (role !== 'user') continue;
    const isSaidLast = endsOf(continuation, text).some((end) => signatures.some((known) => isKept(known, text, end)));
    if (isSaidLast) continue;
    const found = findFirst(signatures, text, continuation);
    if (!found) continue;
    const { before, after } = found.match;
    // A summary may end in the persona's own words, and a client may append to them: they are not said twice.
    const end = endsOf(continuation, before).at(-1);
    const isSaid = end !== undefined && /^[.\s]*$/.test(before.slice(end));
    const value = (isSaid ? before.slice(0, end) : before + continuation) + after;
    rewriting.edits.push({ op: 'replace', path: pointer, value, durable: true });
    rewriting.found.push(found.signature.label);
  }
  return rewriting;
}

/** A continuation, right after the client compacted, that says neither what is replaced nor what the persona says. */
function findDrift(
  view: RequestView | undefined,
  { continuation }: CompactionPrompts,
  signatures: Signature[],
): Rewriting['unrecognised'] {
  const of = (phase: Phase) => signatures.filter((signature) => signature.phase === phase);
  for (const { role, text } of textsOf(view)) {
    if (role !== 'user' || !findFirst(of('continued'), text)) continue;
    if (text.includes(continuation) || findFirst(of('continuation'), text, continuation)) continue;
    return { reason: UNKNOWN_CONTINUATION, opening: text.slice(-MAX_OPENING) };
  }
  return undefined;
}

function findFirst(
  signatures: Signature[],
  text: string,
  own?: string,
): { signature: Signature; match: Match } | undefined {
  for (const signature of signatures) {
    const match = matchSignature(signature, text, own);
    if (match) return { signature, match };
  }
  return undefined;
}

/** A text that holds several literals is shown once for each of them. */
function textsOf(view: RequestView | undefined) {
  return new Map(view?.matched?.map((text) => [text.pointer, text])).values();
}
