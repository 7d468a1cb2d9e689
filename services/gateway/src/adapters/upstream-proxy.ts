import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Logger } from '@loom/shared';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { requestHeaders, responseHeaders } from '../core/headers.ts';
import { sendFailure } from './api-error.ts';
import type { Exchange } from './exchange.ts';

/** What is to be sent for a request. */
export interface Outgoing {
  /** The whole body; undefined where the request is streamed as it comes. */
  body?: Uint8Array;
  /** The exchange to tell of the answer; undefined for requests that are no exchange. */
  exchange?: Exchange | undefined;
}

interface UnderWay extends Outgoing {
  path: string;
  attempts: number;
  sentMs: number;
  /** What the connection had received before. */
  bytesBefore: number;
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
/** That a kept connection is dead shows within a round trip; one that breaks later may have been worked on. */
const STALE_MS = 1_000;

/** Forwards requests to the one upstream: http-proxy-middleware, with headers and bodies exactly as they are to be. */
export class UpstreamProxy {
  readonly #underWay = new WeakMap<IncomingMessage, UnderWay>();
  readonly #agent: http.Agent;
  readonly #log: Logger;
  readonly #basePath: string;
  readonly #middleware: ReturnType<typeof createProxyMiddleware>;

  constructor({ url, idleMs, log }: UpstreamOptions) {
    const options = { keepAlive: true, maxFreeSockets: 64, timeout: IDLE_CONNECTION_MS };
    this.#agent = url.startsWith('https:') ? new https.Agent(options) : new http.Agent(options);
    this.#log = log;
    this.#basePath = new URL(url).pathname.replace(/\/$/, '');
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
          proxy.on('proxyReq', (proxyRequest, request) => this.#onRequest(proxyRequest, request));
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
    const start = { attempts: 0, sentMs: 0, bytesBefore: 0, isAnswered: false, timedOut: false };
    const underWay: UnderWay = { ...outgoing, ...start, path };
    this.#underWay.set(request, underWay);
    request.headers = requestHeaders(request.rawHeaders, outgoing.body?.length);
    // The middleware parses what stands here, and leaves a request alone whose path it cannot parse (`//`).
    request.url = '/';
    response.once('close', () => {
      if (response.writableFinished) return;
      void outgoing.exchange?.end(underWay.timedOut ? 'timeout' : 'client_closed');
    });
    this.#send(request, response);
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(request: IncomingMessage, response: ServerResponse): void {
    this.#middleware(request, response, (error) => {
      if (error) this.#onError(error as Error, request, response);
    }).catch((error: Error) => this.#onError(error, request, response));
  }

  #onRequest(proxyRequest: http.ClientRequest, request: IncomingMessage): void {
    const underWay = this.#underWay.get(request);
    if (!underWay) return;
    underWay.attempts++;
    underWay.sentMs = performance.now();
    underWay.bytesBefore = proxyRequest.socket?.bytesRead ?? 0;
    proxyRequest.path = underWay.path === '*' ? '*' : this.#basePath + underWay.path;
    proxyRequest.once('timeout', () => {
      underWay.timedOut = true;
    });
    proxyRequest.prependOnceListener('error', (error) => {
      if (this.#isStale(proxyRequest, error, underWay, request)) underWay.isStale = true;
    });
    // The body was read whole: written at once, it leaves in as few packets as there can be.
    if (underWay.body) proxyRequest.end(underWay.body);
  }
}
