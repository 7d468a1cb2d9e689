import { cacheShare, counted, seconds, tally, tokensInOut } from '@loom/shared/figures.ts';
import type { Turn } from './turns.ts';

/**
 * Writes a turn as one line: session, profile, model, calls, tools, tokens, cache, edits, seconds.
 *
 * Input tokens are all that the model read: uncached, written to the cache and read from it. The share is what came
 * from the cache. Edits count rewriters' operations; bypassed are the rewriters that were asked and did not edit.
 *
 * @example
 * formatTurn(turn);
 * // '3f2a91c0 alpha claude-opus-4-6 · 2 calls · Bash, Read ×2 · 12.4k in, 812 out · cache 93 % · 1 edit · 8.2 s'
 */
export function formatTurn({ session, profile, model, calls, end }: Turn): string {
  const responses = calls.flatMap(({ response }) => (response ? [response] : []));
  const usages = responses.map(({ data }) => data.usage ?? {});
  const sum = (pick: (usage: (typeof usages)[number]) => number | null | undefined) =>
    usages.reduce((total, usage) => total + (pick(usage) ?? 0), 0);

  const cached = sum((usage) => usage.cache_read_input_tokens);
  const read = cached + sum((usage) => usage.input_tokens) + sum((usage) => usage.cache_creation_input_tokens);
  const written = sum((usage) => usage.output_tokens);
  const tools = responses.flatMap(({ data }) => data.toolUses.map(({ name }) => name));
  return [
    [session.slice(0, 8) || 'no session', profile, model ?? 'unknown model'].join(' '),
    counted(calls.length, 'call'),
    ...(tools.length > 0 ? [tally(tools)] : []),
    tokensInOut(read, written),
    ...cacheShare(cached, read),
    ...editsOf(calls),
    seconds(durationOf(responses)),
    ...(end === 'end_turn' ? [] : [end]),
  ].join(' · ');
}

function editsOf(calls: Turn['calls']): string[] {
  const edits = calls.flatMap((call) => call.edits);
  const applied = edits.filter(({ outcome }) => outcome === 'applied');
  const bypassed = edits.filter(({ outcome }) => outcome !== 'applied' && outcome !== 'none');
  const operations = applied.reduce((total, edit) => total + edit.operations, 0);
  return [
    ...(operations > 0 ? [counted(operations, 'edit')] : []),
    ...(bypassed.length > 0 ? [`bypassed ${tally(bypassed.map((edit) => `${edit.rewriter} (${edit.outcome})`))}`] : []),
  ];
}

/** From the first call's start to the last one's end, milliseconds; what the user waited for, tools included. */
function durationOf(responses: NonNullable<Turn['calls'][number]['response']>[]): number {
  if (responses.length === 0) return 0;
  const ends = responses.map(({ time }) => Date.parse(time));
  const starts = responses.map(({ data }, at) => (ends[at] as number) - data.durationMs);
  return Math.max(...ends) - Math.min(...starts);
}
