import type { Server, Socket } from 'node:net';
import type { Logger } from '@loom/shared';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { originForm } from '../core/request-target.ts';
import { sendFailure } from './api-error.ts';
import { COUNT_TOKENS_PATH, MESSAGES_PATH, type MessagesHandler } from './messages-handler.ts';
import type { Metrics } from './metrics.ts';
import type { UpstreamProxy } from './upstream-proxy.ts';

export interface GatewayAppOptions {
  messages: MessagesHandler;
  proxy: UpstreamProxy;
  maxBodyBytes: number;
  metrics: Metrics;
  log: Logger;
}

/** Every path is proxied; only a Messages request's body is read on the way. */
export function createGatewayApp({ messages, proxy, maxBodyBytes, metrics, log }: GatewayAppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.enable('case sensitive routing');
  app.enable('strict routing');

  app.use((request, response, next) => {
    request.url = originForm(request.url);
    response.once('finish', () => {
      // The client would keep the connection, and that would hold up a stop.
      if (!isListening(request.socket)) request.socket.end();
    });
    next();
  });
  const passThrough: RequestHandler = (request, response) => proxy.forward(request, response, {});
  // A compressed body is for the upstream to read: it passes as it is.
  const onlyPlain: RequestHandler = (request, _, next) => {
    const isReadable = isPlain(request.headers['content-encoding']);
    if (!isReadable) metrics.unfollowable.add(1);
    next(isReadable ? undefined : 'route');
  };
  const readBody = express.raw({ type: () => true, limit: maxBodyBytes, inflate: false });

  app.post([MESSAGES_PATH, COUNT_TOKENS_PATH], onlyPlain, readBody, async (request, response) => {
    const bytes: unknown = request.body;
    await messages.handle(request, response, request.path, Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0));
  });
  app.use(passThrough);

  const onError: ErrorRequestHandler = (error: Error & { type?: string }, _, response, __) => {
    if (error.type === 'entity.too.large') {
      const message = `expected a body of at most ${maxBodyBytes} bytes, got more; LOOM_MAX_BODY_BYTES sets the limit`;
      sendFailure(response, { status: 413, type: 'request_too_large', code: 'body_too_large', message });
      return;
    }
    if (error.type === 'request.aborted' || response.destroyed) return;
    log.error('a request failed in the gateway', { error });
    const message = 'the request could not be read';
    const isClients = error.type?.startsWith('request.') || error.type?.startsWith('entity.');
    sendFailure(
      response,
      isClients
        ? { status: 400, type: 'invalid_request_error', code: 'bad_request', message }
        : { status: 500, type: 'api_error', code: 'internal', message },
    );
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
