import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { CANARY } from '@loom/shared/metadata.ts';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';

/**
 * The yardstick: express and http-proxy-middleware, piped, with a keep-alive agent and nothing else. With `--reparse` it
 * reads the body, takes the hooks' blocks out and writes it anew, as most gateways do. Prints its port.
 */
const app = express();
const [, , target = '', mode] = process.argv;
const agent = new http.Agent({ keepAlive: true });
const proxy = createProxyMiddleware({
  target,
  changeOrigin: true,
  agent,
  ...(mode === '--reparse' && {
    on: {
      proxyReq: (proxyRequest, request) => {
        const body = (request as { body?: Buffer }).body as Buffer;
        proxyRequest.setHeader('content-length', body.length);
        proxyRequest.end(body);
      },
    },
  }),
});
if (mode === '--reparse') {
  app.use(express.raw({ type: () => true, limit: '64mb' }), (request, _, next) => {
    const body = JSON.parse((request.body as Buffer).toString()) as { messages: { content: { text?: string }[] }[] };
    for (const message of body.messages)
      message.content = message.content.filter(({ text }) => !text?.includes(CANARY));
    request.body = Buffer.from(JSON.stringify(body));
    next();
  });
}
app.use(proxy);
const server = app.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
// An exit keeps what was compiled for the next start; a signal alone does not.
process.once('SIGTERM', () => process.exit());
// It waits for its turn longer than Node keeps a connection.
server.keepAliveTimeout = 75_000;
