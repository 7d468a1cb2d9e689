import http, { type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { findFault } from '../core/request-fault.ts';
import { refuseUnreadable, sendFailure } from './api-error.ts';

export interface HttpServerOptions {
  /** How long a request's head may take, from the connection's or the last answer's end on, milliseconds. Default: 60,000. */
  headMs?: number;
  /** How often that is looked at, milliseconds. Default: 30,000. */
  checkMs?: number;
  /** How many connections there may be at once. Default: 4,096. */
  maxConnections?: number;
}

/** Longer than any client keeps a connection idle, or it would meet a socket that is just being closed. */
const CLIENT_KEEP_ALIVE_MS = 75_000;
const MAX_HEADER_BYTES = 65_536;

/**
 * An HTTP server for clients that may mean no good: `app` gets only requests that every reader would take for the same
 * one, each connection answers in order and ends with what could not be read, and none may take for ever with a head.
 */
export function createHttpServer(app: RequestListener, options: HttpServerOptions = {}): Server {
  const newest = new WeakMap<Socket, ServerResponse>();
  const ending = new WeakSet<Socket>();
  const { headMs: headersTimeout = 60_000, checkMs: connectionsCheckingInterval = 30_000 } = options;
  const server = http.createServer({
    ...{ headersTimeout, connectionsCheckingInterval, maxHeaderSize: MAX_HEADER_BYTES },
    keepAliveTimeout: CLIENT_KEEP_ALIVE_MS,
    // A body may take its time, as long as it comes.
    requestTimeout: 0,
    // Refused below, in the shape of the API.
    requireHostHeader: false,
  });
  // Each costs some 20 KB; who needs more has something else in mind.
  server.maxConnections = options.maxConnections ?? 4_096;
  // Older Nodes drop headers beyond a number in silence; here they are refused.
  server.maxHeadersCount = 0;

  const take: RequestListener = (request, response) => {
    const { socket } = request;
    // Behind a request that was refused nobody knows where the next one begins.
    if (ending.has(socket)) return;
    newest.set(socket, response);
    const fault = findFault(request);
    if (fault) {
      ending.add(socket);
      response.shouldKeepAlive = false;
      const { status, message } = fault;
      sendFailure(response, { status, type: 'invalid_request_error', code: 'bad_request', message });
      return;
    }
    // What came with such a request is lost to Node, which takes it for the other protocol.
    if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false;
    app(request, response);
  };
  server.on('request', take);
  // An expectation that Node does not know is for the upstream to judge.
  server.on('checkExpectation', take);
  server.on('connect', ({ socket }) => refuseUnreadable(new Error('CONNECT'), socket));
  server.on('clientError', (error, duplex) => {
    const socket = duplex as Socket;
    if (ending.has(socket)) return;
    ending.add(socket);
    const last = newest.get(socket);
    if (!last || last.closed) refuseUnreadable(error, socket);
    // The fault is behind a sound request, whose answer comes first.
    else if (last.req.complete) last.once('close', () => refuseUnreadable(error, socket));
    else if (last.headersSent) socket.destroy();
    else {
      last.shouldKeepAlive = false;
      const message = `expected a body, got ${(error as NodeJS.ErrnoException).code ?? error.name}`;
      sendFailure(last, { status: 400, type: 'invalid_request_error', code: 'bad_request', message });
    }
  });
  return server;
}
