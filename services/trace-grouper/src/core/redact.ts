import type { DataOf } from '@loom/shared/event.ts';
import { scrub } from '@loom/shared/redaction.ts';

type Captured = DataOf<'exchange.captured'>;

/** Takes out of what was said whatever nobody may see. */
export interface Redact {
  /** @param isCut somebody has cut the text already: its end may be half of a secret, and goes as well */
  text(text: string, isCut: boolean): string;
  /** What a gateway has captured; its own settings may be others. */
  capture(captured: Captured): Captured;
}

/** As much of a cut text as may belong to something that a pattern would have matched whole, characters. */
const REACH_CHARACTERS = 256;
/** By which blocks and results find each other: they are not what anybody said. */
const NAMES = new Set(['type', 'id', 'tool_use_id', 'sha256', 'media_type', 'requestId', 'gateway']);
/** Deeper than any gateway captures. */
const MAX_DEPTH = 64;

/**
 * Takes out what the operator's patterns match (`LOOM_REDACT`), and whatever looks like a credential.
 *
 * @param patterns each with the flag `g`
 *
 * @example
 * redactWith([/PRJ-\d{6}/gu]).text('About PRJ-123456.', false); // 'About [redacted].'
 */
export function redactWith(patterns: readonly RegExp[]): Redact {
  const whole = (text: string) =>
    scrub(patterns.reduce((redacted, pattern) => redacted.replace(pattern, '[redacted]'), text));
  return {
    text(text, isCut) {
      const redacted = whole(text);
      return isCut && patterns.length > 0 ? redacted.slice(0, -REACH_CHARACTERS).toWellFormed() : redacted;
    },
    capture({ input, output, system, parameters, ...rest }) {
      const shown = { input, output, parameters, ...(system && { system }) };
      return { ...rest, ...(inEach(shown, whole, MAX_DEPTH) as typeof shown) };
    },
  };
}

function inEach(value: unknown, redact: (text: string) => string, depth: number): unknown {
  if (typeof value === 'string') return redact(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return '[deep]';
  if (Array.isArray(value)) return value.map((item) => inEach(item, redact, depth - 1));
  const members = Object.entries(value).map(([name, member]) => [
    name,
    NAMES.has(name) ? member : inEach(member, redact, depth - 1),
  ]);
  return Object.fromEntries(members);
}
