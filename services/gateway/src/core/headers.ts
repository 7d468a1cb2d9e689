/** Headers that concern one connection only (RFC 9110, section 7.6.1). */
const HOP_BY_HOP = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'upgrade',
  'proxy-authenticate',
  'proxy-authorization',
  'transfer-encoding',
]);
const LOOM_ONLY = new Set(['x-machine-name', 'x-session-id', 'traceparent', 'tracestate', 'baggage']);
/** Names that httpxy and Node look up in lower case. */
const LOWER_CASE = new Set(['content-length', 'transfer-encoding']);

/** Headers by name: the client's own spelling, every repetition kept. */
export type OutgoingHeaders = Record<string, string | string[]>;

/**
 * The request's headers as they go upstream: all of the client's, in its spelling and order, but hop-by-hop ones and
 * Loom's own (`x-loom-*`, session and trace headers). `host` is the proxy's to set; `expect` was answered here.
 *
 * @param raw names and values in turn, as Node gives them
 * @param bodyBytes the length of a body that was read whole; undefined where it is streamed as it comes
 */
export function requestHeaders(raw: string[], bodyBytes: number | undefined): OutgoingHeaders {
  const framing = bodyBytes === undefined ? new Set(['content-length', 'transfer-encoding']) : new Set<string>();
  const headers = collect(raw, (name) => {
    if (framing.has(name)) return true;
    return (
      !HOP_BY_HOP.has(name) &&
      !LOOM_ONLY.has(name) &&
      !name.startsWith('x-loom-') &&
      !['host', 'expect', 'content-length'].includes(name)
    );
  });
  if (bodyBytes !== undefined) headers['content-length'] = String(bodyBytes);
  return headers;
}

/** The response's headers as they go to the client: all of the upstream's but hop-by-hop ones; framing is kept. */
export function responseHeaders(raw: string[]): OutgoingHeaders {
  return collect(raw, (name) => name === 'transfer-encoding' || !HOP_BY_HOP.has(name));
}

function collect(raw: string[], keeps: (lowerCaseName: string) => boolean): OutgoingHeaders {
  const named = connectionTokens(raw);
  const spelling = new Map<string, string>();
  // Without a prototype: `__proto__` is then a header name like any other.
  const headers: OutgoingHeaders = Object.create(null);
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    if (!keeps(name) || (named.has(name) && name !== 'transfer-encoding')) continue;
    const key = spelling.get(name) ?? (LOWER_CASE.has(name) ? name : (raw[at] as string));
    spelling.set(name, key);
    const earlier = headers[key];
    const value = raw[at + 1] as string;
    headers[key] = earlier === undefined ? value : [earlier, value].flat();
  }
  return headers;
}

/** Headers that `connection` declares to be hop-by-hop. */
function connectionTokens(raw: string[]): Set<string> {
  const tokens = new Set<string>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    if ((raw[at] as string).toLowerCase() !== 'connection') continue;
    for (const token of (raw[at + 1] as string).split(',')) tokens.add(token.trim().toLowerCase());
  }
  return tokens;
}
