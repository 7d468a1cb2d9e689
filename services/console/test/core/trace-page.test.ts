import { describe, expect, test } from '@jest/globals';
import { growTree } from '../../src/core/span-tree.ts';
import { formatTrace } from '../../src/core/trace-page.ts';
import { plainScreen, screen, turnSummary } from '../events.ts';

const { spans } = turnSummary();

function treeOf(...parents: [id: string, parent?: string][]): string[] {
  const bare = { kind: 'internal', status: 'unset', startedAt: 0, endedAt: 1 } as const;
  const grown = growTree(
    parents.map(([spanId, parentSpanId]) => ({ ...bare, name: spanId, spanId, ...(parentSpanId && { parentSpanId }) })),
  );
  return grown.map(({ span, stem }) => stem + span.name);
}

describe('growTree', () => {
  test('orders siblings by their start, and draws each branch to its last', () => {
    expect(growTree(spans).map(({ span, stem, trunk }) => [stem + span.name, trunk])).toEqual([
      ['turn', ''],
      ['├─ loom: POST /v1/messages', '│  '],
      ['│  └─ chat claude-opus-4-6', '│     '],
      ['├─ execute_tool Bash', '│  '],
      ['└─ loom: POST /v1/messages', '   '],
      ['   └─ chat claude-opus-4-6', '      '],
    ]);
  });

  test('takes a span whose parent is elsewhere as a root', () => {
    expect(treeOf(['a', 'far away'], ['b', 'a'], ['c'])).toEqual(['a', '└─ b', 'c']);
  });

  test('shows every span once, even those that are each other’s parents', () => {
    expect(treeOf(['a'], ['b', 'c'], ['c', 'b'], ['d', 'd'])).toEqual(['a', 'b', '└─ c', 'd']);
  });
});

describe('formatTrace', () => {
  test('draws a turn on 80 columns, with what finds no room below its span', () => {
    expect(formatTrace(turnSummary(), plainScreen(80))).toEqual([
      '2026-01-01 00:00:10 3f2a91c0',
      '  alpha · claude-opus-4-6 · 2 calls · Bash, Read ×2 · 20.0k in, 600 out',
      '  cache 95 % · $0.12 · 12.5 s',
      '',
      'turn                          +0.0 s    12.5 s',
      '├─ loom: POST /v1/messages    +0.0 s     4.0 s  compact-rewriter applied 2',
      '│  └─ chat claude-opus-4-6    +0.1 s     3.9 s',
      '│        10.0k in, 300 out · cache 95 % · $0.0042',
      '├─ execute_tool Bash          +4.0 s     4.0 s  inferred',
      '└─ loom: POST /v1/messages    +8.0 s     4.5 s',
      '   └─ chat claude-opus-4-6    +8.0 s     4.5 s  overloaded_error',
    ]);
  });

  test('shows on a wide screen where in the turn each span lies', () => {
    expect(formatTrace(turnSummary(), plainScreen(130)).slice(1)).toEqual([
      '',
      'turn                          +0.0 s    12.5 s ████████████████████████',
      '├─ loom: POST /v1/messages    +0.0 s     4.0 s ████████                  compact-rewriter applied 2',
      '│  └─ chat claude-opus-4-6    +0.1 s     3.9 s ████████                  10.0k in, 300 out · cache 95 % · $0.0042',
      '├─ execute_tool Bash          +4.0 s     4.0 s         ███████           inferred',
      '└─ loom: POST /v1/messages    +8.0 s     4.5 s                █████████',
      '   └─ chat claude-opus-4-6    +8.0 s     4.5 s                █████████  overloaded_error',
    ]);
  });

  test('colours errors, edits and notes', () => {
    const [chat] = spans;
    const summary = turnSummary({
      spans: [{ ...(chat as NonNullable<typeof chat>), edits: ['a applied 1'], note: 'b' }],
    });

    expect(formatTrace(summary, screen).at(-1)).toBe(
      '<red:chat claude-opus-4-6><dim:    +0.0 s>     4.5 s <blue:████████████████████████>  <red:overloaded_error> · <yellow:a applied 1> · <dim:b>',
    );
  });

  test('cuts names that take half of the screen, and shows spans that take no time', () => {
    const [, turn] = spans;
    const short = { ...(turn as NonNullable<typeof turn>), name: `execute_tool ${'x'.repeat(60)}`, spanId: 's9' };
    const summary = turnSummary({ spans: [...spans, { ...short, startedAt: short.endedAt, parentSpanId: 's1' }] });

    expect(formatTrace(summary, plainScreen(130)).at(-1)).toBe(
      '└─ execute_tool xxxxxxxxxxxxxxxxxxxxxxxxxxx…   +12.5 s     0.0 s                        █',
    );
  });

  test('shows a turn without spans, and no more of the conversation than none', () => {
    expect(formatTrace(turnSummary({ spans: [] }), plainScreen(130))).toEqual([
      '2026-01-01 00:00:10 3f2a91c0  alpha · claude-opus-4-6 · 2 calls · Bash, Read ×2 · 20.0k in, 600 out · cache 95 % · $0.12 · 12.5 s',
      '',
    ]);
  });
});
