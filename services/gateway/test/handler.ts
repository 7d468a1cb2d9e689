import { Streams } from '@loom/shared/streams.ts';
import { until } from '@loom/shared/testing/until.ts';
import { BoundedReads } from '../src/adapters/bounded-reads.ts';
import { Captures } from '../src/adapters/captures.ts';
import type { EditStage } from '../src/adapters/edit-stage.ts';
import { EventPublisher } from '../src/adapters/event-publisher.ts';
import { Leisure } from '../src/adapters/leisure.ts';
import { MessagesHandler } from '../src/adapters/messages-handler.ts';
import { openMetrics } from '../src/adapters/metrics.ts';
import { SessionRecords } from '../src/adapters/session-records.ts';
import { Spool } from '../src/adapters/spool.ts';
import { UpstreamProxy } from '../src/adapters/upstream-proxy.ts';
import { sha256 } from './core/fixtures/body.ts';
import type { Harness } from './harness.ts';
import { log } from './quiet-log.ts';

/** A handler with all its parts and an edit stage of the test's own, before the harness's upstream and Redis. */
export async function startHandler(harness: Harness, stage: Pick<EditStage, 'recall' | 'run'>) {
  const streams = new Streams({ url: harness.redis.url, prefix: 'loom', source: '/test', log });
  const metrics = openMetrics();
  const spool = new Spool({ folder: harness.spoolFolder, maxBytes: 1_000_000, log });
  const publisher = new EventPublisher({ streams, spool, metrics, log, gateway: 'g1' });
  const proxy = new UpstreamProxy({ url: harness.upstream.url, idleMs: 5_000, log });
  const sessions = new SessionRecords(streams, new BoundedReads(streams, metrics, 2_000), metrics, log);
  const leisure = new Leisure();
  const captures = new Captures({ mode: 'none', redact: [], sha256 }, { publisher, leisure, metrics, log });
  const parts = { sessions, stage: stage as EditStage, publisher, captures, leisure, proxy, metrics, log };
  const handler = new MessagesHandler({ gateway: 'g1', capture: 'none', hookSecret: undefined, ...parts });
  await until(() => streams.connected);
  return {
    handler,
    async close() {
      proxy.close();
      await publisher.close();
      streams.close();
    },
  };
}
