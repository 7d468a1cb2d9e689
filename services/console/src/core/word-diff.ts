import { inert } from '@loom/shared/plain.ts';
import { diffWordsWithSpace } from 'diff';
import { fitLine, type Piece, type Screen } from './screen.ts';

/** Texts that differ in more words than this are shown one after the other. */
const MAX_EDITS = 500;

/** Characters that are shown of what stays, beside what changes. */
const CONTEXT = 16;

/**
 * Shows by which words two texts differ, on two lines as wide as the screen: what was, and what is. What stays in between is cut short.
 *
 * @example
 * formatWordDiff('tea at four', 'tea at five', screen); // ['- tea at four', '+ tea at five'], the last word coloured
 */
export function formatWordDiff(before: string, after: string, screen: Screen): string[] {
  const changes = diffWordsWithSpace(inert(before), inert(after), { maxEditLength: MAX_EDITS }) ?? [
    { value: before, removed: true, added: false },
    { value: after, removed: false, added: true },
  ];
  const was: Piece[] = [];
  const is: Piece[] = [];
  for (const [at, { value, removed, added }] of changes.entries()) {
    const kept = shortened(value, at === 0, at === changes.length - 1);
    if (!added) was.push(removed ? ['red', value] : kept);
    if (!removed) is.push(added ? ['green', value] : kept);
  }
  return [
    ...(before === '' ? [] : [fitLine([['red', '- '], ...was], screen)]),
    ...(after === '' ? [] : [fitLine([['green', '+ '], ...is], screen)]),
  ];
}

/** What stays: only its end before the first change, only its start after the last one. */
function shortened(text: string, isFirst: boolean, isLast: boolean): string {
  const [head, tail] = [isFirst ? 0 : CONTEXT, isLast ? 0 : CONTEXT];
  if (text.length <= head + tail + 1) return text;
  return `${text.slice(0, head)}…${tail === 0 ? '' : text.slice(-tail)}`;
}
