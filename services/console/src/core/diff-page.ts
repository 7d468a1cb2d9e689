import { inert } from '@loom/shared/plain.ts';
import { structuredPatch } from 'diff';
import { masked } from './masked.ts';
import type { Screen, Style } from './screen.ts';

const STYLES: Record<string, Style> = { '+': 'green', '-': 'red', '@': 'cyan' };

/**
 * Shows what changes in a JSON file as a unified diff, its secrets left out.
 *
 * @example
 * formatDiff('settings.json', '{}\n', '{"a": 1}\n', screen);
 * // ['--- settings.json', '+++ settings.json', '@@ -1,1 +1,1 @@', '-{}', '+{"a": 1}']
 */
export function formatDiff(name: string, before: string, after: string, { paint }: Screen): string[] {
  const { hunks } = structuredPatch(name, name, shown(before), shown(after), '', '', { context: 3 });
  const lines = hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines: own }) => [
    `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@`,
    ...own,
  ]);
  return [`--- ${inert(name)}`, `+++ ${inert(name)}`, ...lines.map((line) => painted(inert(line).trimEnd(), paint))];
}

function painted(line: string, paint: Screen['paint']): string {
  const style = STYLES[line.charAt(0)];
  return style ? paint(style, line) : line;
}

function shown(text: string): string {
  return masked(text.replace(/^\ufeff/, ''));
}
