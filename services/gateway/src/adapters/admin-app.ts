import type { Streams } from '@loom/shared/streams.ts';
import express, { type Express } from 'express';
import type { EditHolds } from './edit-holds.ts';
import type { Metrics } from './metrics.ts';
import type { RewriterRegistry } from './rewriter-registry.ts';
import type { Spool } from './spool.ts';

export interface AdminOptions {
  streams: Streams;
  registry: RewriterRegistry;
  holds: EditHolds;
  spool: Spool;
  metrics: Metrics;
  expectedRewriters: string[];
  /** Where it listens. */
  host: string;
}

/**
 * `/healthz`: the process serves. `/readyz`: 200 when Redis answers and the expected rewriters are alive, else 503 with
 * the reasons; requests are forwarded in either case. What only traffic can mend is a note. `/metrics`: Prometheus text.
 */
export function createAdminApp({
  streams,
  registry,
  holds,
  spool,
  metrics,
  expectedRewriters,
  host,
}: AdminOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use((request, response, next) => {
    // A page whose name was made to lead here (DNS rebinding) still says its own name.
    if (!isInside(request.headers.host, host))
      response.status(421).json({ error: 'expected an address, or a name of this network' });
    else if (request.method !== 'GET' && request.method !== 'HEAD') response.status(405).set('allow', 'GET').end();
    else next();
  });
  app.get('/healthz', (_, response) => {
    response.json({ status: 'ok' });
  });
  app.get('/readyz', async (_, response) => {
    const reasons: string[] = [];
    const isRedisReachable = await streams.redis.ping().then(
      () => true,
      () => false,
    );
    if (!isRedisReachable) reasons.push('Redis does not answer: events go to the spool, nothing new is edited');
    for (const name of expectedRewriters) {
      if (!registry.isLive(name)) reasons.push(`${name} has not announced itself: requests go out without its edits`);
    }
    if (spool.pending > 0) reasons.push(`${spool.pending} events wait in the spool`);
    const notes = holds.openBreakers.map((name) => `${name} did not answer in time: it is skipped until it does`);
    response
      .status(reasons.length === 0 ? 200 : 503)
      .json({ status: reasons.length === 0 ? 'ready' : 'degraded', reasons, notes });
  });
  app.get('/metrics', (request, response) => metrics.exporter.getMetricsRequestHandler(request, response));
  return app;
}

/** An address, a name without a dot, or one under a name that is nobody's to register (RFC 6761, 6762, 8375). */
const INSIDE =
  /^(?:(?:[a-z\d-]+\.)*(?:local|localhost|lan|internal|home\.arpa)|[a-z\d-]+|\d+(?:\.\d+){3}|\[[\da-f:.]+\])$/i;

/** Whether a `host` header, without its port, is one that nobody outside can own, or the one that was set. */
function isInside(header: string | undefined, own: string): boolean {
  const host = header?.replace(/:\d{1,5}$/, '') ?? '';
  return INSIDE.test(host) || host.toLowerCase() === own.toLowerCase();
}
