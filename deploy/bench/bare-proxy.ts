import http from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';

/** The yardstick: express and http-proxy-middleware, piped, with a keep-alive agent and nothing else; prints its port. */
const app = express();
app.use(
  createProxyMiddleware({
    target: process.argv[2] as string,
    changeOrigin: true,
    agent: new http.Agent({ keepAlive: true }),
  }),
);
const server = app.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
