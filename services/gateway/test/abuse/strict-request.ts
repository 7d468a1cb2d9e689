/** A request in the one way in which it can be read. */
export interface StrictRequest {
  method: string;
  target: string;
  /** Names and values in turn, as they stood there. */
  headers: string[];
  body: string;
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~\dA-Za-z-]+) ([^\s]+) HTTP\/1\.1$/;
const FIELD = /^([!#$%&'*+.^_`|~\dA-Za-z-]+):[ \t]*([^\0\r\n]*?)[ \t]*$/;
const CHUNK_SIZE = /^[\da-f]{1,8}$/i;
const LENGTH = /^\d{1,10}$/;

/**
 * Takes one request from the beginning of what a connection brought; undefined while its end has not come.
 *
 * @throws Error for what RFC 9112 lets two readers read in two ways: two lengths, a length beside a coding, a bare CR or
 * LF, a folded line, a coding other than `chunked`, a chunk size that is more than digits
 */
export function takeRequest(bytes: Buffer): { request: StrictRequest; length: number } | undefined {
  const text = bytes.toString('latin1');
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [requestLine = '', ...lines] = text.slice(0, headEnd).split('\r\n');
  const [, method = '', target = ''] = expectMatch(REQUEST_LINE, requestLine, 'a request line');
  const headers = lines.flatMap((line) => expectMatch(FIELD, line, 'a header line').slice(1, 3));
  const valuesOf = (wanted: string) =>
    headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === wanted);

  const lengths = valuesOf('content-length');
  const codings = valuesOf('transfer-encoding');
  if (valuesOf('host').length !== 1) throw new Error('expected one host');
  if (lengths.length + codings.length > 1) throw new Error(`expected one framing, got ${[...lengths, ...codings]}`);
  const start = headEnd + 4;
  if (codings.length === 1) {
    if (codings[0]?.toLowerCase() !== 'chunked') throw new Error(`expected chunked, got ${codings[0]}`);
    const chunked = takeChunked(text, start);
    return chunked && { request: { method, target, headers, body: chunked.body }, length: chunked.end };
  }
  const length = Number(lengths.length === 0 ? 0 : expectMatch(LENGTH, lengths[0] ?? '', 'a length')[0]);
  if (text.length < start + length) return undefined;
  return {
    request: { method, target, headers, body: text.slice(start, start + length) },
    length: start + length,
  };
}

function takeChunked(text: string, start: number): { body: string; end: number } | undefined {
  let body = '';
  for (let at = start; ; ) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(expectMatch(CHUNK_SIZE, text.slice(at, lineEnd), 'a chunk size')[0] as string, 16);
    const end = lineEnd + 2 + size;
    if (text.length < end + 2) return undefined;
    if (text.slice(end, end + 2) !== '\r\n') throw new Error('expected a line end behind a chunk');
    if (size === 0) return { body, end: end + 2 };
    body += text.slice(lineEnd + 2, end);
    at = end + 2;
  }
}

function expectMatch(form: RegExp, text: string, what: string): RegExpExecArray {
  const match = form.exec(text);
  if (!match) throw new Error(`expected ${what}, got ${JSON.stringify(text.slice(0, 80))}`);
  return match;
}
