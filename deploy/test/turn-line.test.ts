import { describe, expect, test } from '@jest/globals';
import type { LoomEvent } from '@loom/shared/event.ts';
import { formatTurn } from '../up/turn-line.ts';
import { foldTurns, NO_TURNS } from '../up/turns.ts';
import { completed, failed, forwarded } from './exchange.ts';

function lineOf(...events: LoomEvent[]): string {
  let turns = NO_TURNS;
  const lines = events.flatMap((event) => {
    const next = foldTurns(turns, event);
    turns = next.turns;
    return next.ended.map(formatTurn);
  });
  return lines.join('\n');
}

const edit = { rewriter: 'compact-rewriter', outcome: 'applied', operations: 2, waitedMs: 3 } as const;

describe('formatTurn', () => {
  test('says a plain answer in one line', () => {
    expect(lineOf(completed('r1'))).toBe(
      '3f2a91c0 alpha claude-opus-4-6 · 1 call · 10.0k in, 300 out · cache 95 % · 2.0 s',
    );
  });

  test('sums calls, tools, tokens and edits, and counts the seconds from the first start to the last end', () => {
    const tool = (name: string, id: string) => ({ id, name });
    const toolUses = [tool('Bash', 't1'), tool('Read', 't2'), tool('Read', 't3')];
    const line = lineOf(
      forwarded('r1', { edits: [edit, { ...edit, rewriter: 'intro-injector', outcome: 'late', operations: 0 }] }),
      completed('r1', { stopReason: 'tool_use', toolUses }),
      forwarded('r2', { edits: [{ ...edit, outcome: 'none', operations: 0 }] }),
      { ...completed('r2'), time: '2026-01-01T00:00:20.500Z' },
    );

    expect(line).toBe(
      '3f2a91c0 alpha claude-opus-4-6 · 2 calls · Bash, Read ×2 · 20.0k in, 600 out · cache 95 % · 2 edits · bypassed intro-injector (late) · 12.5 s',
    );
  });

  test('says why a turn has no answer', () => {
    expect(lineOf(failed('r1', { model: null, usage: null, errorType: 'overloaded_error' }))).toBe(
      '3f2a91c0 alpha unknown model · 1 call · 0 in, 0 out · 2.0 s · overloaded_error',
    );
  });
});
