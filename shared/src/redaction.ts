import { isNativeError } from 'node:util/types';

/**
 * The only fields that a log line may carry. A list of what is allowed, because a list of what is forbidden always
 * forgets one: a field that is not here is left out, and its name is listed in `withheld`.
 */
export const SAFE_FIELDS: ReadonlySet<string> = new Set(
  `adminPort anchor attempt bytes class code consumer contentTypes count counters deadLettered deliveries
  discontinuities dropped durationMs edits ended entries entry epoch error errorType event exported failed field
  file gateway group handled held heldMs hits holdMs host ignored injected items known labels lag late lines matched
  misses model name neutralised offset omitted opened operations outcome overBudget oversized pending phase pid
  port profile profiles reason refused released replica requestId rewriter rewriters role service session signal
  since skippedStale spooled spooledBytes stack status stopReason stream suppressed tokens trimmed turn type unpriced
  variable version waitedMs`.split(/\s+/),
);

const CREDENTIALS: [RegExp, string][] = [
  [/\bsk-[a-z]+-[\w-]+/gi, '[credential]'],
  [/\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi, '$1 [credential]'],
  [
    /\b(x-api-key|api-key|authorization|proxy-authorization|cookie)(["']?\s*[:=]\s*["']?)(?!bearer |basic )[^\s"',}]+/gi,
    '$1$2[credential]',
  ],
  [/(\w:\/\/)[^\s/@:]*:[^\s/@]+@/g, '$1[credential]@'],
];

/** Replaces whatever in a text looks like a credential: API keys, bearer and basic tokens, passwords in URLs. */
export function scrub(text: string): string {
  return CREDENTIALS.reduce((scrubbed, [form, replacement]) => scrubbed.replace(form, replacement), text);
}

const MAX_DEPTH = 4;

/**
 * The fields of a log line that may be written, each value made safe to write.
 *
 * @example
 * redact({ requestId: 'r1', headers: { 'x-api-key': '…' } }); // { requestId: 'r1', withheld: ['headers'] }
 */
export function redact(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  const safe: Record<string, unknown> = {};
  const withheld: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (!SAFE_FIELDS.has(name)) withheld.push(name);
    else if (value !== undefined) safe[name] = redactValue(value, depth + 1);
  }
  return withheld.length > 0 ? { ...safe, withheld } : safe;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return scrub(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (isNativeError(value)) return describeError(value);
  // An object that holds itself would never end.
  if (depth > MAX_DEPTH) return '[deep]';
  if (Array.isArray(value)) return value.map((item) => redactValue(item, depth + 1));
  return redact(value as Record<string, unknown>, depth);
}

/** Name, message and code: an error's other properties may hold what was sent (ioredis keeps a command's arguments). */
function describeError(error: Error): Record<string, unknown> {
  const { name, message } = error;
  const code = codeOf(error);
  return { name, message: scrub(message), ...(code === undefined ? {} : { code }) };
}

const MAX_REASON_LENGTH = 500;

/** Why something failed, from whatever was thrown: scrubbed, at most 500 characters, fit for an event or a span. */
export function reasonOf(thrown: unknown): string {
  const text = isNativeError(thrown) ? thrown.message : String(thrown);
  return scrub(text).slice(0, MAX_REASON_LENGTH).toWellFormed();
}

/** The kind of failure in few words, for `error.type`: the system's code where there is one, else the class. */
export function errorTypeOf(thrown: unknown): string {
  return String(codeOf(thrown) ?? (isNativeError(thrown) ? thrown.name : typeof thrown));
}

function codeOf(thrown: unknown): string | number | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' || typeof thrown.code === 'number' ? thrown.code : undefined;
}
