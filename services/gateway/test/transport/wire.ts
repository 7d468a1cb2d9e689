import http, { type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { buffer } from 'node:stream/consumers';

export interface WireRequest {
  method?: string;
  /** The request target, as it is to stand on the wire. */
  path?: string;
  /** Names and values in turn; nothing is added but the framing. */
  headers?: string[];
  /** Sent with `content-length`; a list of pieces is sent chunked. */
  body?: Uint8Array | string | Uint8Array[];
  agent?: http.Agent;
}

/** An answer as it stood on the wire. */
export interface WireAnswer {
  status: number;
  statusMessage: string;
  rawHeaders: string[];
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

/** Opens a request that nothing normalises: header spelling, order and repetitions, target and body are the test's. */
export function open(
  base: string,
  { method = 'POST', path = '/v1/messages', headers = [], body, agent }: WireRequest = {},
) {
  const { hostname, port, host } = new URL(base);
  const isChunked = Array.isArray(body);
  const framing = isChunked
    ? ['transfer-encoding', 'chunked']
    : body === undefined
      ? []
      : ['content-length', String(Buffer.byteLength(body))];
  // A string would make Node write the head in UTF-8, too.
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const sent = ['host', host, ...headers, ...framing];
  const request = http.request({ hostname, port, method, path, headers: sent, agent: agent ?? false });
  const answered = new Promise<IncomingMessage>((resolve, reject) =>
    request.once('response', resolve).once('error', reject),
  );
  for (const piece of isChunked ? body : []) request.write(piece);
  request.end(isChunked ? undefined : bytes);
  return { request, answered };
}

/** Sends a request and reads its answer to the end. */
export async function exchange(base: string, wanted?: WireRequest): Promise<WireAnswer> {
  const answer = await open(base, wanted).answered;
  const body = await buffer(answer);
  const { statusCode = 0, statusMessage = '', rawHeaders, headers } = answer;
  return { status: statusCode, statusMessage, rawHeaders, headers, body };
}

/** Writes bytes to a socket of its own and returns all that comes until it is closed. */
export async function talk(base: string, ...bytes: (string | Uint8Array)[]): Promise<string> {
  const { hostname, port } = new URL(base);
  const socket = connect(Number(port), hostname);
  for (const piece of bytes) socket.write(piece);
  return Buffer.concat(await socket.toArray()).toString('latin1');
}

/** An upstream that the test answers for by hand, on a free loopback port. */
export async function listen(listener: http.RequestListener) {
  const server = http.createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
