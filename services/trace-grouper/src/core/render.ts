import type { CaptureMode } from '@loom/shared/event.ts';
import { scrub } from '@loom/shared/redaction.ts';
import { ATTRIBUTE } from './attribute.ts';
import { byteLength, cutText, MAX_ATTRIBUTE_BYTES, MAX_SPAN_BYTES } from './limits.ts';
import type { Prices } from './prices.ts';
import type { SpanData } from './span-data.ts';

export interface RenderOptions {
  prices: Prices;
  /** none and metadata show nothing of the conversation, none not even where it took place. */
  capture: CaptureMode;
  /** Of all keys in Redis: the names of streams begin with it. */
  prefix: string;
}

/** The short texts that lists and sessions show, bytes. */
const MAX_PREVIEW_BYTES = 2_048;

export function showsContent({ capture }: RenderOptions): boolean {
  return capture === 'delta' || capture === 'full';
}

/** A text of the conversation as a span may show it; undefined where no content is shown, or there is none. */
export function preview(text: string | null | undefined, options: RenderOptions): string | undefined {
  if (!text || !showsContent(options)) return undefined;
  return cutText(scrub(text), MAX_PREVIEW_BYTES);
}

/** `input.value` or `output.value` with its type; both left out without a text. */
export function plain(name: 'input' | 'output', text: string | undefined): SpanData['attributes'] {
  if (text === undefined) return {};
  return { [ATTRIBUTE[name]]: text, [ATTRIBUTE[`${name}Type`]]: 'text/plain' };
}

const MAX_NAME_BYTES = 256;

/** A name that somebody else gave (a model, a tool, an agent): never longer than a name is. */
export function named(name: string): string {
  return cutText(name, MAX_NAME_BYTES);
}

/**
 * Completes a span: it ends no earlier than it starts, its attributes keep within their limits. What is over them by
 * then is no list of messages, and is cut, or left out from the largest on; `loom.capture.truncated` says so.
 */
export function finishSpan(span: Partial<SpanData> & Pick<SpanData, 'traceId' | 'spanId' | 'name'>): SpanData {
  const startedAt = span.startedAt ?? 0;
  return {
    kind: 'internal',
    events: [],
    links: [],
    status: 'unset',
    ...span,
    startedAt,
    endedAt: Math.max(startedAt, span.endedAt ?? 0),
    attributes: limited(span.attributes ?? {}),
  };
}

function limited(attributes: SpanData['attributes']): SpanData['attributes'] {
  const set = Object.entries(attributes).filter(([, value]) => value !== undefined);
  const kept = set.map(([name, value]) => [name, typeof value === 'string' ? within(value) : value] as const);
  const sizes = new Map(kept.map(([name, value]) => [name, byteLength(name) + byteLength(String(value))]));
  let size = sizes.values().reduce((sum, one) => sum + one, 0);
  const left = new Set<string>();
  for (const [name, bytes] of [...sizes].sort(([, a], [, b]) => b - a)) {
    if (size <= MAX_SPAN_BYTES) break;
    size -= bytes;
    left.add(name);
  }
  const changed = left.size > 0 || kept.some(([, value], at) => value !== set[at]?.[1]);
  const fields = kept.filter(([name]) => !left.has(name));
  return { ...Object.fromEntries(fields), ...(changed && { [ATTRIBUTE.captureTruncated]: true }) };
}

function within(value: string): string {
  return cutText(value, MAX_ATTRIBUTE_BYTES);
}
