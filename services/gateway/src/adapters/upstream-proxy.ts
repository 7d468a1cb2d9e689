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
  timedOut: boolean;
}

export interface UpstreamOptions {
  url: string;
  /** How long the upstream may be silent, milliseconds. */
  idleMs: number;
  log: Logger;
}

/** Forwards requests to the one upstream: http-proxy-middleware, with headers and bodies exactly as they are to be. */
export class UpstreamProxy {
  readonly #underWay = new WeakMap<IncomingMessage, UnderWay>();
  readonly #agent: http.Agent;
  readonly #log: Logger;
  readonly #middleware: ReturnType<typeof createProxyMiddleware>;

  constructor({ url, idleMs, log }: UpstreamOptions) {
    const options = { keepAlive: true, maxFreeSockets: 64 };
    this.#agent = url.startsWith('https:') ? new https.Agent(options) : new http.Agent(options);
    this.#log = log;
    this.#middleware = createProxyMiddleware({
      target: url,
      changeOrigin: true,
      agent: this.#agent,
      proxyTimeout: idleMs,
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

  forward(request: IncomingMessage, response: ServerResponse, outgoing: Outgoing): void {
    const underWay: UnderWay = { ...outgoing, timedOut: false };
    this.#underWay.set(request, underWay);
    request.headers = requestHeaders(request.rawHeaders, outgoing.body?.length);
    response.sendDate = false;
    response.once('close', () => {
      if (response.writableFinished) return;
      void outgoing.exchange?.end(underWay.timedOut ? 'timeout' : 'client_closed');
    });
    this.#middleware(request, response, (error) => {
      if (error) this.#onError(error as Error, request, response);
    }).catch((error: Error) => this.#onError(error, request, response));
  }

  close(): void {
    this.#agent.destroy();
  }

  #onRequest(proxyRequest: http.ClientRequest, request: IncomingMessage): void {
    const underWay = this.#underWay.get(request);
    if (!underWay) return;
    proxyRequest.once('timeout', () => {
      underWay.timedOut = true;
    });
    // The body was read whole: written at once, it leaves in as few packets as there can be.
    if (underWay.body) proxyRequest.end(underWay.body);
  }

  #onAnswer(answer: IncomingMessage, request: IncomingMessage, response: ServerResponse): void {
    const underWay = this.#underWay.get(request);
    const exchange = underWay?.exchange;
    exchange?.responded(answer);
    answer.headers = responseHeaders(answer.rawHeaders) as http.IncomingHttpHeaders;
    if (!exchange || !underWay) return;
    // Ahead of the pipe to the client: what is complete is published before the client can know it.
    answer.on('data', (chunk: Buffer) => exchange.chunk(chunk));
    answer.once('end', () => void exchange.end('complete'));
    answer.once('aborted', () => {
      if (!response.destroyed) void exchange.end(underWay.timedOut ? 'timeout' : 'upstream_aborted');
    });
  }

  #onError(error: Error, request: IncomingMessage | undefined, response: ServerResponse | Socket | undefined): void {
    const underWay = request && this.#underWay.get(request);
    const code = (error as NodeJS.ErrnoException).code ?? error.name;
    if (!(response instanceof http.ServerResponse) || response.destroyed) return;
    const reason = underWay?.timedOut ? 'timeout' : response.headersSent ? 'upstream_aborted' : 'upstream_error';
    void underWay?.exchange?.end(reason, code);
    this.#log.warn('the upstream did not answer', { reason, errorType: code });
    sendFailure(
      response,
      underWay?.timedOut
        ? {
            status: 504,
            type: 'timeout_error',
            code: 'upstream_timeout',
            message: 'expected an answer from the upstream, got silence',
          }
        : {
            status: 502,
            type: 'api_error',
            code: 'upstream_unreachable',
            message: `expected an answer from the upstream, got ${code}`,
          },
    );
  }
}
