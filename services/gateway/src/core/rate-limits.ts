const PREFIX = 'anthropic-ratelimit-';
const MAX_HEADERS = 40;
const MAX_VALUE_LENGTH = 200;

/**
 * The answer's `anthropic-ratelimit-*` headers, values as they came; undefined when there are none.
 *
 * @param headers as Node gives them: names in lower case
 *
 * @example
 * rateLimitsOf({ 'anthropic-ratelimit-unified-5h-utilization': '0.31' }); // the same
 */
export function rateLimitsOf(
  headers: Record<string, string | string[] | undefined>,
): Record<string, string> | undefined {
  const limits = Object.entries(headers).filter(
    (header): header is [string, string] =>
      header[0].startsWith(PREFIX) && typeof header[1] === 'string' && header[1].length <= MAX_VALUE_LENGTH,
  );
  return limits.length > 0 ? Object.fromEntries(limits.slice(0, MAX_HEADERS)) : undefined;
}

/** How far a subscription's limit is used up, 0 to 1; undefined where the answer does not say. */
export function utilizationOf(limits: Record<string, string>, window: '5h' | '7d'): number | undefined {
  return numberIn(limits, `unified-${window}-utilization`);
}

/** The limits of an API key, as their headers name them. */
const KEY_LIMITS = ['requests', 'tokens', 'input-tokens', 'output-tokens'] as const;

/**
 * What is left of each limit of an API key, as far as the answer says it.
 *
 * @example
 * remainingOf({ 'anthropic-ratelimit-requests-remaining': '49' }); // [['requests', 49]]
 */
export function remainingOf(limits: Record<string, string>): [limit: string, remaining: number][] {
  return KEY_LIMITS.flatMap((limit): [string, number][] => {
    const remaining = numberIn(limits, `${limit}-remaining`);
    return remaining === undefined ? [] : [[limit, remaining]];
  });
}

function numberIn(limits: Record<string, string>, name: string): number | undefined {
  const said = limits[PREFIX + name];
  const number = Number(said);
  return said === undefined || said.trim() === '' || !Number.isFinite(number) ? undefined : number;
}
