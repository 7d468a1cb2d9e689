import type { Draft } from '@loom/shared/event.ts';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { contextOf } from '@loom/shared/telemetry.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';

/** A Redis of the test's own, with the events that services publish. */
export async function openBus() {
  const server = await startRedis();
  const log = createLog({ service: 'test', level: 'error' });
  const streams = new Streams({ url: server.url, prefix: 't', source: '/loom/test', log });
  await until(() => streams.connected);
  return {
    server,
    streams,
    redis: streams.redis,
    environment: { REDIS_URL: server.url },
    async publish(...drafts: Draft[]): Promise<void> {
      for (const draft of drafts) await streams.publish(draft, contextOf());
    },
    async close(): Promise<void> {
      streams.close();
      await server.close();
    },
  };
}
