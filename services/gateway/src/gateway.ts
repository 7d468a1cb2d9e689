import { hash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { hostname } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ConfigError, urlTo } from '@loom/shared/config.ts';
import type { Logger } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import type { Express } from 'express';
import { createAdminApp } from './adapters/admin-app.ts';
import { BodyReader } from './adapters/body-reader.ts';
import { BoundedReads } from './adapters/bounded-reads.ts';
import { Captures } from './adapters/captures.ts';
import { EditHolds } from './adapters/edit-holds.ts';
import { EditReplies } from './adapters/edit-replies.ts';
import { EditStage } from './adapters/edit-stage.ts';
import { EventPublisher } from './adapters/event-publisher.ts';
import { createGatewayApp } from './adapters/gateway-app.ts';
import { createHttpServer } from './adapters/http-server.ts';
import { LedgerStore } from './adapters/ledger-store.ts';
import { Leisure } from './adapters/leisure.ts';
import { MessagesHandler } from './adapters/messages-handler.ts';
import { openMetrics } from './adapters/metrics.ts';
import { Presence } from './adapters/presence.ts';
import { RedisHistory } from './adapters/redis-history.ts';
import { RewriterRegistry } from './adapters/rewriter-registry.ts';
import { SessionRecords } from './adapters/session-records.ts';
import { Spool } from './adapters/spool.ts';
import { StreamKeeper } from './adapters/stream-keeper.ts';
import { UpstreamProxy } from './adapters/upstream-proxy.ts';
import type { Config } from './config.ts';
import { PendingAnswers } from './core/pending-answers.ts';

const DRAIN_MS = 30_000;

export interface Gateway {
  /** Where clients connect: `http://host:port`. */
  url: string;
  adminUrl: string;
  /** Takes no new requests, lets those under way finish (at most 30 s), publishes what is left, closes everything. */
  stop(): Promise<void>;
}

/** Wires the gateway and starts to listen; Redis need not be there. */
export async function startGateway(config: Config, log: Logger): Promise<Gateway> {
  const gateway = `${hostname()}-${randomUUID().slice(0, 8)}`.replaceAll(/[^\w-]/g, '-');
  const streams = new Streams({
    url: config.REDIS_URL,
    prefix: config.LOOM_KEY_PREFIX,
    source: `/loom/gateway/${gateway}`,
    log,
  });
  const metrics = openMetrics();
  const spool = new Spool({ folder: config.LOOM_SPOOL_DIR, maxBytes: config.LOOM_SPOOL_MAX_BYTES, log });
  const publisher = new EventPublisher({ streams, spool, metrics, log, gateway });
  const reads = new BoundedReads(streams, metrics, config.LOOM_READ_MS);
  const registry = new RewriterRegistry(streams, log);
  const pending = new PendingAnswers();
  const replies = new EditReplies({ streams, gateway, pending, metrics, log });
  const holds = new EditHolds({ registry, publisher, pending, metrics, log });
  const openBreakers = () => holds.openBreakers;
  const presence = new Presence({ streams, log, gateway, tally: metrics.tally, openBreakers });
  const ledger = new LedgerStore(streams, reads, metrics, log);
  const proxy = new UpstreamProxy({ url: config.LOOM_UPSTREAM_URL, idleMs: config.LOOM_UPSTREAM_IDLE_MS, log });
  const capture = config.LOOM_CAPTURE;
  const sha256 = (data: string | Uint8Array) => hash('sha256', data);
  const leisure = new Leisure();
  const capturing = { mode: capture, redact: config.LOOM_REDACT, sha256 };
  const captures = new Captures(capturing, { publisher, leisure, metrics, log });
  const replyStream = replies.stream;
  const stage = new EditStage({ gateway, capture, replyStream, registry, ledger, holds, publisher, metrics });
  const sessions = new SessionRecords(streams, reads, metrics, log);
  const hookSecret = config.LOOM_HOOK_SECRET;
  const parts = { sessions, stage, publisher, captures, leisure, proxy, metrics, log };
  const messages = new MessagesHandler({ gateway, capture, hookSecret, ...parts });

  const expectedRewriters = config.LOOM_EXPECTED_REWRITERS;
  const { LOOM_MAX_BODY_BYTES: maxBytes, LOOM_MAX_HELD_BYTES: maxHeldBytes } = config;
  const bodies = new BodyReader({ maxBytes, maxHeldBytes, metrics });
  const app = createGatewayApp({ messages, proxy, bodies, metrics, log });
  const admin = createAdminApp({
    streams,
    registry,
    holds,
    spool,
    metrics,
    expectedRewriters,
    host: config.LOOM_ADMIN_HOST,
  });
  await registry.start();
  presence.start();
  const keeper = new StreamKeeper({ streams, publisher, log, gateway });
  const history = new RedisHistory({ streams, publisher, log, gateway });
  const server = await listen(app, 'LOOM_PORT', config.LOOM_HOST, config.LOOM_PORT);
  const adminServer = await listen(admin, 'LOOM_ADMIN_PORT', config.LOOM_ADMIN_HOST, config.LOOM_ADMIN_PORT);
  server.on('drop', () => metrics.connectionsDropped.add(1));
  const sockets = socketsOf(server);
  log.info('listening', { host: config.LOOM_HOST, port: portOf(server), adminPort: portOf(adminServer), gateway });

  async function stop(): Promise<void> {
    const closed = once(server, 'close');
    server.close();
    server.closeIdleConnections();
    // What has arrived by now is read first. A connection on which nothing was ever asked does not count as idle.
    await nextTurn();
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    const timer = setTimeout(() => {
      for (const exchange of messages.active) void exchange.end('shutdown');
      server.closeAllConnections();
    }, DRAIN_MS);
    await closed;
    // A client that leaves is gone from the server before its exchange has heard of it.
    await messages.ended();
    clearTimeout(timer);
    adminServer.close();
    adminServer.closeAllConnections();
    registry.stop();
    keeper.stop();
    history.stop();
    await holds.close();
    replies.close();
    await ledger.close();
    await captures.close();
    await publisher.close();
    proxy.close();
    log.info('stopped');
    await presence.leave();
    streams.close();
  }

  return {
    url: urlTo(config.LOOM_HOST, portOf(server)),
    adminUrl: urlTo(config.LOOM_ADMIN_HOST, portOf(adminServer)),
    stop,
  };
}

/** Listens, or throws ConfigError with the setting that stands in the way. */
async function listen(app: Express, setting: string, host: string, port: number): Promise<Server> {
  const server = createHttpServer(app);
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'EADDRINUSE' ? 'another process listens there' : String(code);
    throw new ConfigError(`${setting}: expected to listen on ${host}:${port}, got ${reason}`, { cause: error });
  }
  return server;
}

/** The connections that are open. */
function socketsOf(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
