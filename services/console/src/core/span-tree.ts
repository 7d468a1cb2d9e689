import type { SummarySpan } from '@loom/shared/turn-summary.ts';

/** A span with its place in the tree. */
export interface Branch {
  span: SummarySpan;
  /** What is drawn before its name: `│  ├─ `. */
  stem: string;
  /** What is drawn before further lines of it: `│  │  `. */
  trunk: string;
}

/**
 * Orders spans as a tree, depth first, siblings by their start. A span whose parent is not among them is a root; every
 * span comes once, whatever the parents say.
 *
 * @example
 * growTree(spans).map(({ span, stem }) => stem + span.name); // ['turn', '├─ chat', '└─ execute_tool Bash']
 */
export function growTree(spans: readonly SummarySpan[]): Branch[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const inOrder = spans.toSorted((left, right) => left.startedAt - right.startedAt || right.endedAt - left.endedAt);
  const children = Map.groupBy(inOrder, ({ parentSpanId }) => parentSpanId);
  const branches: Branch[] = [];
  const seen = new Set<SummarySpan>();

  const grow = (span: SummarySpan, stem: string, trunk: string) => {
    if (seen.has(span)) return;
    seen.add(span);
    branches.push({ span, stem, trunk });
    const below = children.get(span.spanId) ?? [];
    for (const child of below) {
      const isLast = child === below.at(-1);
      grow(child, `${trunk}${isLast ? '└─ ' : '├─ '}`, `${trunk}${isLast ? '   ' : '│  '}`);
    }
  };
  for (const span of inOrder) if (span.parentSpanId === undefined || !ids.has(span.parentSpanId)) grow(span, '', '');
  // Spans that are each other's parents have no root; they are shown all the same.
  for (const span of inOrder) grow(span, '', '');
  return branches;
}
