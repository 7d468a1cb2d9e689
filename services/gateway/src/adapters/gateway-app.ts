import type { Server, Socket } from 'node:net';
import type { Logger } from '@loom/shared/log.ts';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { COUNT_TOKENS_PATH, MESSAGES_PATH } from '../core/paths.ts';
import { originForm } from '../core/request-target.ts';
import { sendFailure } from './api-error.ts';
import { type BodyReader, BodyRefused } from './body-reader.ts';
import type { MessagesHandler } from './messages-handler.ts';
import type { Metrics } from './metrics.ts';
import type { UpstreamProxy } from './upstream-proxy.ts';

export interface GatewayAppOptions {
  messages: MessagesHandler;
  proxy: UpstreamProxy;
  bodies: BodyReader;
  metrics: Metrics;
  log: Logger;
}

/** Every path is proxied; only a Messages request's body is read on the way. */
export function createGatewayApp({ messages, proxy, bodies, metrics, log }: GatewayAppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.enable('case sensitive routing');
  app.enable('strict routing');

  app.use((request, response, next) => {
    request.url = originForm(request.url);
    metrics.followRequest(request, response);
    response.once('finish', () => {
      // The client would keep the connection, and that would hold up a stop.
      if (!isListening(request.socket)) request.socket.end();
    });
    next();
  });
  const passThrough: RequestHandler = (request, response) => proxy.forward(request, response, {});
  // Claude Code says no origin, a browser always does: what a page sends is forwarded, and has no part in any session.
  const noPage: RequestHandler = (request, _, next) => {
    const isPage = request.headers.origin !== undefined;
    if (isPage) metrics.pageRequests.add(1);
    next(isPage ? 'route' : undefined);
  };
  // A compressed body is for the upstream to read: it passes as it is.
  const onlyPlain: RequestHandler = (request, _, next) => {
    const isReadable = isPlain(request.headers['content-encoding']);
    if (!isReadable) metrics.unfollowable.add(1);
    next(isReadable ? undefined : 'route');
  };

  app.post([MESSAGES_PATH, COUNT_TOKENS_PATH], noPage, onlyPlain, async (request, response) => {
    const body = await bodies.read(request, response);
    await messages.handle(request, response, request.path, body);
  });
  app.use(passThrough);

  const onError: ErrorRequestHandler = (error: Error, _, response, __) => {
    if (error instanceof BodyRefused) {
      sendFailure(response, error.failure);
      return;
    }
    if (response.closed || response.destroyed) return;
    log.error('a request failed in the gateway', { error });
    const message = 'the request could not be read';
    sendFailure(response, { status: 500, type: 'api_error', code: 'internal', message });
  };
  app.use(onError);
  return app;
}

function isPlain(encoding: string | undefined): boolean {
  return encoding === undefined || encoding.trim() === '' || encoding.trim().toLowerCase() === 'identity';
}

/** Whether the server that took a connection takes more; Node tells its sockets, but not TypeScript. */
function isListening(socket: Socket & { server?: Server }): boolean {
  return socket.server?.listening ?? true;
}
