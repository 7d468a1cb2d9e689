import { type OutgoingHttpHeaders, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Loom's own failures, in the shape of the API's errors, so that the client reads them as it reads the API's. The header
 * `x-loom-error` tells them apart from the upstream's.
 */
export interface LoomFailure {
  status: number;
  /** `error.type` as the API documents them. */
  type: string;
  /** For `x-loom-error`. */
  code: string;
  /** Expected, got, where. */
  message: string;
  /** When it may be worth another try. */
  retryAfterSeconds?: number;
}

/** Answers with a failure of Loom's own; a response that has begun can only be cut. */
export function sendFailure(response: ServerResponse, failure: LoomFailure): void {
  const { status, type, code, message, retryAfterSeconds } = failure;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = JSON.stringify({ type: 'error', error: { type, message: `Loom: ${message}` } });
  const headers: OutgoingHttpHeaders = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-loom-error': code,
    // The client's own retry heals what is passing; it knows best whether to.
    ...(status >= 502 && { 'x-should-retry': 'true' }),
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
  };
  // The reason is said outright: one that the upstream gave, and that could not be sent, is still there.
  response.writeHead(status, STATUS_CODES[status], headers);
  response.end(body);
}

const UNREADABLE = new Map<string | undefined, number>([
  ['HPE_HEADER_OVERFLOW', 431],
  ['ERR_HTTP_REQUEST_TIMEOUT', 408],
]);

/** Answers what is no HTTP request that could be read (a bad header line, too many headers), and closes the connection. */
export function refuseUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  // Where nothing was asked nothing is answered: a client might take it for the answer to what it asks next.
  if (!socket.writable || error.code === 'ECONNRESET' || socket.bytesRead === 0) {
    socket.destroy();
    return;
  }
  const status = UNREADABLE.get(error.code) ?? 400;
  const message = `Loom: expected an HTTP request, got ${error.code ?? error.message}`;
  const body = JSON.stringify({ type: 'error', error: { type: 'invalid_request_error', message } });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'x-loom-error: bad_request',
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
