/** A record of the key's own format, read by the dashboards of neighbours. */
export interface Quota {
  key: string;
  /** JSON. */
  value: string;
}

const PREFIX = 'anthropic-ratelimit-unified-';
const HEADERS = [
  '5h-utilization',
  '5h-reset',
  '5h-status',
  '7d-utilization',
  '7d-reset',
  '7d-status',
  'fallback',
  'fallback-percentage',
  'overage-status',
].map((name) => PREFIX + name);

/**
 * What an answer said of the account's quota, as Loom's first version wrote it: key and `timestamp` are one instant in
 * Python's isoformat, headers are verbatim, an absent one is empty. Undefined for an answer that names no utilisation.
 *
 * @param time of the answer's event, RFC 3339 with milliseconds, UTC
 *
 * @example
 * quotaOf('2026-11-22T09:00:00.123Z', 'req_1', headers)?.key; // 'quota:2026-11-22T09:00:00.123000+00:00'
 */
export function quotaOf(
  time: string,
  upstreamRequestId: string | null,
  rateLimits: Readonly<Record<string, string>> = {},
): Quota | undefined {
  if (!rateLimits[`${PREFIX}5h-utilization`] && !rateLimits[`${PREFIX}7d-utilization`]) return undefined;
  const timestamp = time.replace(/Z$/, '000+00:00');
  const headers = Object.fromEntries(HEADERS.map((name) => [name, rateLimits[name] ?? '']));
  return {
    key: `quota:${timestamp}`,
    value: JSON.stringify({ timestamp, request_id: upstreamRequestId ?? '', ...headers }),
  };
}
