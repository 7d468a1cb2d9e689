/** Why a request is refused that could be parsed: the status that says so, and what was wrong. */
export interface RequestFault {
  status: 400 | 431 | 501 | 505;
  /** Expected, got. */
  message: string;
}

/** Some readers drop what comes behind so many, and with it the header that says where the body ends. */
const MAX_HEADERS = 1_000;

interface RequestHead {
  httpVersion: string;
  /** Names and values in turn. */
  rawHeaders: string[];
}

/**
 * What a request's head leaves open, so that the next reader might see another request in the same bytes: a transfer
 * coding besides `chunked` (RFC 9112, section 6.1: 501), one of a client that cannot know of it (HTTP/1.0), no host or
 * two (section 3.2), more than 1,000 headers, a version that is not this protocol's.
 *
 * @example
 * findFault({ httpVersion: '1.1', rawHeaders: ['Host', 'a', 'Transfer-Encoding', 'gzip, chunked'] })?.status; // 501
 */
export function findFault({ httpVersion, rawHeaders }: RequestHead): RequestFault | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0')
    return { status: 505, message: `expected HTTP/1.1, got HTTP/${httpVersion}` };
  const headers = rawHeaders.length / 2;
  if (headers > MAX_HEADERS) return { status: 431, message: `expected at most ${MAX_HEADERS} headers, got ${headers}` };
  const hosts = valuesOf(rawHeaders, 'host').length;
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1'))
    return { status: 400, message: `expected one host header, got ${hosts}` };
  const codings = valuesOf(rawHeaders, 'transfer-encoding');
  if (codings.length === 0) return undefined;
  if (httpVersion === '1.0') return { status: 400, message: 'expected a content-length of HTTP/1.0, got a coding' };
  if (isChunked(codings)) return undefined;
  return { status: 501, message: 'expected the transfer coding chunked alone, got another one' };
}

/** Whether the transfer codings are the one that every recipient of HTTP/1.1 undoes: `chunked`, once. */
export function isChunked(codings: string[]): boolean {
  return codings.join(',').toLowerCase() === 'chunked';
}

/** The values of a header, in order. */
export function valuesOf(rawHeaders: string[], name: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);
}
