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
/** They say where a body ends: what `connection` lists must not take them away, or a body reads as a second request. */
const FRAMING = new Set(['content-length', 'transfer-encoding']);

/** Headers by name: the client's own spelling, every repetition kept. */
export type OutgoingHeaders = Record<string, string | string[]>;

/**
 * The request's headers as they go upstream: all of the client's, in its spelling and order, but hop-by-hop ones and
 * Loom's own (`x-loom-*`, session and trace headers). `host` is the proxy's to set; `expect` was answered here.
 *
 * @param raw names and values in turn, as Node gives them
 * @param bodyBytes the length of a body that was read whole; undefined where it is streamed as it comes
 *
 * @example
 * requestHeaders(['X-Api-Key', 'k', 'x-loom-profile', 'alpha'], 2); // { 'X-Api-Key': 'k', 'content-length': '2' }
 */
export function requestHeaders(raw: string[], bodyBytes: number | undefined): OutgoingHeaders {
  // Without a prototype: `__proto__` is then a header name like any other.
  const headers: OutgoingHeaders = Object.create(null);
  const spelling = new Map<string, string>();
  const listed = listedIn(raw);
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name, value] = [raw[at] as string, raw[at + 1] as string];
    const lower = name.toLowerCase();
    if (!isEndToEnd(lower, listed)) continue;
    if (LOOM_ONLY.has(lower) || lower.startsWith('x-loom-') || lower === 'host' || lower === 'expect') continue;
    const isFraming = FRAMING.has(lower);
    if (isFraming && bodyBytes !== undefined) continue;
    // httpxy looks the framing up in lower case.
    const key = spelling.get(lower) ?? (isFraming ? lower : name);
    spelling.set(lower, key);
    const earlier = headers[key];
    headers[key] = earlier === undefined ? value : [earlier, value].flat();
  }
  if (bodyBytes !== undefined) headers['content-length'] = String(bodyBytes);
  return headers;
}

/**
 * The response's headers as they go to the client, names and values in turn: the upstream's own list without the
 * hop-by-hop ones. The framing of this connection is Node's to choose.
 *
 * @example
 * responseHeaders(['Set-Cookie', 'a', 'Connection', 'close', 'Set-Cookie', 'b']); // ['Set-Cookie', 'a', 'Set-Cookie', 'b']
 */
export function responseHeaders(raw: string[]): string[] {
  const headers: string[] = [];
  const listed = listedIn(raw);
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name, value] = [raw[at] as string, raw[at + 1] as string];
    const lower = name.toLowerCase();
    if (lower !== 'transfer-encoding' && isEndToEnd(lower, listed)) headers.push(name, value);
  }
  return headers;
}

/** Whether a header concerns more than one connection: neither its name nor `connection` says otherwise. Framing stays. */
function isEndToEnd(lower: string, listed: ReadonlySet<string>): boolean {
  return FRAMING.has(lower) || !(HOP_BY_HOP.has(lower) || listed.has(lower));
}

/** The names that `connection` lists, in lower case. */
function listedIn(raw: string[]): ReadonlySet<string> {
  const listed = new Set<string>();
  for (let at = 0; at + 1 < raw.length; at += 2)
    if (raw[at]?.toLowerCase() === 'connection')
      for (const token of (raw[at + 1] as string).split(',')) listed.add(token.trim().toLowerCase());
  return listed;
}
