import { ATTRIBUTE } from './attribute.ts';

/** What keeps a span from Phoenix, as `deploy/otel/collector.yaml` has it (OTTL): there it has no kind to be shown as. */
export const NOT_FOR_PHOENIX = `span.attributes["${ATTRIBUTE.spanKind}"] == nil`;

/** The opposite of that condition. */
export function isForPhoenix({ attributes }: { attributes: Record<string, unknown> }): boolean {
  return attributes[ATTRIBUTE.spanKind] !== undefined;
}

/**
 * The spans whose parent is neither among them nor one of the given (the request spans, the client's own): each of them
 * would be shown as a root of its own. An empty list says that the spans are whole trees.
 *
 * @example
 * danglingParents(spansOf(turn, options), turn.calls.map(({ spanId }) => spanId)); // []
 */
export function danglingParents<Span extends { spanId: string; parentSpanId?: string }>(
  spans: readonly Span[],
  known: Iterable<string> = [],
): Span[] {
  const ids = new Set([...known, ...spans.map(({ spanId }) => spanId)]);
  return spans.filter(({ parentSpanId }) => parentSpanId !== undefined && !ids.has(parentSpanId));
}
