import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '@loom/shared/log.ts';
import { errorTypeOf } from '@loom/shared/redaction.ts';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { findAnswerFault } from '../core/answer-fault.ts';
import { requestHeaders, responseHeaders } from '../core/headers.ts';
import { type BodyParts, lengthOf } from '../core/splice.ts';
import { AnswerBody } from './answer-body.ts';
import { sendFailure } from './api-error.ts';
import type { Exchange } from './exchange.ts';
import { sendBody } from './send-body.ts';

/** What is to be sent for a request. */
export interface Outgoing {
  /** The whole body; undefined where the request is streamed as it comes. */
  body?: BodyParts;
  /** The exchange to tell of the answer; undefined for requests that are no exchange. */
  exchange?: Exchange | undefined;
}

interface UnderWay extends Outgoing {
  path: string;
  isAnswered: boolean;
  timedOut: boolean;
}

export interface UpstreamOptions {
  url: string;
  /** How long the upstream may be silent, milliseconds. */
  idleMs: number;
  log: Logger;
}

/** Also how long a connection may take to come about. Routers forget idle connections, and whoever uses one waits in vain. */
const IDLE_CONNECTION_MS = 30_000;
/** The longest that a client waits for the end of an answer which came whole: for a machine that has no time to decode. */
const UNDERSTOOD_MS = 2_000;
const NOTHING = Buffer.alloc(0);

/** Forwards requests to the one upstream: http-proxy-middleware, with headers and bodies exactly as they are to be. */
export class UpstreamProxy {
  readonly #underWay = new WeakMap<IncomingMessage, UnderWay>();
  readonly #agent: http.Agent;
  readonly #log: Logger;
  /** Where everything goes. */
  readonly upstream: { address: string; port: number };
  readonly #basePath: string;
  readonly #middleware: ReturnType<typeof createProxyMiddleware>;

  constructor({ url, idleMs, log }: UpstreamOptions) {
    const options = { keepAlive: true, maxFreeSockets: 64, timeout: IDLE_CONNECTION_MS };
    this.#agent = url.startsWith('https:') ? new https.Agent(options) : new http.Agent(options);
    this.#log = log;
    const { pathname, hostname, port, protocol } = new URL(url);
    this.#basePath = pathname.replace(/\/$/, '');
    this.upstream = { address: hostname, port: Number(port) || (protocol === 'https:' ? 443 : 80) };
    this.#middleware = createProxyMiddleware({
      target: url,
      changeOrigin: true,
      agent: this.#agent,
      proxyTimeout: idleMs,
      selfHandleResponse: true,
      // The stock plugins answer in plain text and print to the console.
      ejectPlugins: true,
      on: {},
      plugins: [
        (proxy) => {
          proxy.on('proxyReq', (proxyRequest, request, response, options) => {
            const body = this.#onRequest(proxyRequest, request, response);
            // The middleware would end it, because the client's request has ended.
            if (body && sendBody(proxyRequest, body)) options.buffer = new Readable({ read: () => {} });
          });
          proxy.on('proxyRes', (answer, request, response) => this.#onAnswer(answer, request, response));
          proxy.on('error', (error, request, response) => this.#onError(error, request, response));
          // The client left and took its socket along: `close` of the response has told the exchange.
          proxy.on('econnreset', () => {});
        },
      ],
    });
  }

  /** Sends a request on, and its answer back; `request.url` is a path, as `originForm` gives it. */
  forward(request: IncomingMessage, response: ServerResponse, outgoing: Outgoing): void {
    const path = request.url ?? '/';
    const underWay: UnderWay = { ...outgoing, path, isAnswered: false, timedOut: false };
    this.#underWay.set(request, underWay);
    request.headers = requestHeaders(request.rawHeaders, outgoing.body && lengthOf(outgoing.body));
    // The middleware parses what stands here, and leaves a request alone whose path it cannot parse (`//`).
    request.url = '/';
    response.once('close', () => {
      if (response.writableFinished) return;
      if (underWay.timedOut) void outgoing.exchange?.end('timeout', 'timeout');
      else void outgoing.exchange?.end('client_closed');
    });
    this.#middleware(request, response, (error) => {
      if (error) this.#onError(error as Error, request, response);
    }).catch((error: Error) => this.#onError(error, request, response));
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Makes a request as it is to be; returns its body where there is one to be sent. */
  #onRequest(
    proxyRequest: http.ClientRequest,
    request: IncomingMessage,
    response: ServerResponse,
  ): BodyParts | undefined {
    const underWay = this.#underWay.get(request);
    if (!underWay) return undefined;
    proxyRequest.path = underWay.path === '*' ? '*' : this.#basePath + underWay.path;
    proxyRequest.once('timeout', () => {
      underWay.timedOut = true;
    });
    // Node gives an upgrade to its listener, or the client waits for ever: nobody asked for another protocol.
    proxyRequest.once('upgrade', (answer, socket) => {
      socket.destroy();
      this.#onAnswer(answer, request, response);
    });
    return underWay.body;
  }

  #onAnswer(answer: IncomingMessage, request: IncomingMessage, response: ServerResponse): void {
    const underWay = this.#underWay.get(request);
    if (!underWay) return;
    underWay.isAnswered = true;
    const { exchange } = underWay;
    const fault = findAnswerFault(answer);
    if (fault) {
      answer.destroy();
      this.#fail(underWay, response, fault);
      return;
    }
    exchange?.responded(answer);
    response.sendDate = false;
    try {
      response.writeHead(answer.statusCode ?? 0, answer.statusMessage, responseHeaders(answer.rawHeaders));
    } catch (error) {
      // A status line that nobody may send: Node would throw it at the process.
      answer.destroy();
      this.#fail(underWay, response, errorTypeOf(error));
      return;
    }
    sendHeadWith(answer, response);
    if (exchange) {
      relay(answer, response, exchange);
      answer.once('aborted', () => {
        if (response.destroyed) return;
        if (underWay.timedOut) void exchange.end('timeout', 'timeout');
        else void exchange.end('upstream_aborted', 'ECONNRESET');
      });
    }
    if (!exchange) answer.pipe(response);
  }

  #onError(error: Error, request: IncomingMessage | undefined, response: ServerResponse | Socket | undefined): void {
    const underWay = request && this.#underWay.get(request);
    if (!underWay || !(response instanceof http.ServerResponse) || response.destroyed) return;
    // From its head on, the answer's own end decides: an upstream may refuse a body before it has read it.
    if (underWay.isAnswered) return;
    // Not sent again from here, not even over a fresh connection: the upstream may have worked on it, and billed it.
    this.#fail(underWay, response, errorTypeOf(error));
  }

  #fail({ exchange, timedOut }: UnderWay, response: ServerResponse, error: string): void {
    // What breaks then is broken by us.
    const errorType = timedOut ? 'timeout' : error;
    const reason = timedOut ? 'timeout' : 'upstream_error';
    void exchange?.end(reason, errorType);
    this.#log.warn('the upstream did not answer', { reason, errorType });
    const got = timedOut ? 'silence' : errorType;
    const message = `expected an answer from the upstream, got ${got}`;
    sendFailure(
      response,
      timedOut
        ? { status: 504, type: 'timeout_error', code: 'upstream_timeout', message }
        : { status: 502, type: 'api_error', code: 'upstream_unreachable', message },
    );
  }
}

/**
 * Passes an answer's body on. What is complete is published before the client can know it; a message that comes whole is
 * on its way by then but for its last byte, because nobody's first byte waits for what is told about it.
 */
function relay(answer: IncomingMessage, response: ServerResponse, exchange: Exchange): void {
  const body = new AnswerBody(response);
  response.on('drain', () => answer.resume());
  answer.on('data', (chunk: Buffer) => {
    if (response.destroyed) return;
    let rest = chunk;
    if (exchange.isWholeWith(chunk)) {
      body.write(chunk.subarray(0, -1));
      // Node would gather it with what is written until the next turn.
      response.socket?.uncork();
      rest = chunk.subarray(-1);
    }
    exchange.chunk(chunk);
    if (!body.write(rest)) answer.pause();
  });
  answer.once('end', async () => {
    const understood = exchange.end('complete');
    // A compressed answer is understood a little later than it came; the client's end must not be ahead of its event.
    if (understood) await Promise.race([understood, pause(UNDERSTOOD_MS, undefined, { ref: false })]);
    body.end();
  });
}

/**
 * Sends the head together with the first piece of the body where both came at once, else right now: it must not wait for
 * the first event. An empty piece sends it; `flushHeaders` would write it as UTF-8.
 */
function sendHeadWith(answer: IncomingMessage, response: ServerResponse): void {
  const alone = setImmediate(() => {
    if (!response.writableEnded && !response.destroyed) response.write(NOTHING);
  });
  answer.once('data', () => clearImmediate(alone));
}
