import { hostname } from 'node:os';
import { loadConfig } from '@loom/shared/config.ts';
import { createLog } from '@loom/shared/log.ts';
import { runMain } from '@loom/shared/run-main.ts';
import { type Service, startService } from '@loom/shared/service.ts';
import { exitOnSignals } from '@loom/shared/signals.ts';
import { Streams } from '@loom/shared/streams.ts';
import { shutdownTelemetry } from '@loom/shared/telemetry.ts';
import { LeaseQueue } from './adapters/lease-queue.ts';
import { SessionFiles } from './adapters/session-files.ts';
import { WatchedSessions } from './adapters/watched-sessions.ts';
import { Config, USAGE } from './config.ts';
import { RedisAwayError, redisIsReady, scan } from './scan.ts';
import { NAME, rootOf, Watcher, warnWithoutFolder } from './watch.ts';

await runMain({ name: NAME, usage: USAGE, explained: [RedisAwayError] }, async () => {
  const config = loadConfig(Config, process.env);
  const log = createLog({ service: NAME, level: config.LOG_LEVEL });
  const source = `/loom/${NAME}/${hostname()}`;
  const streams = new Streams({ url: config.REDIS_URL, prefix: config.LOOM_KEY_PREFIX, source, log });
  await warnWithoutFolder(config, log);

  if (process.argv.includes('--scan')) {
    await redisIsReady(streams);
    const files = new SessionFiles(rootOf(config));
    const sinceMs = Date.now() - config.LOOM_WATCH_IDLE_MS;
    const queue = new LeaseQueue(streams, log);
    const found = await scan({ files, watched: new WatchedSessions(streams), queue, sinceMs });
    process.stdout.write(`${found} sessions are watched whose transcripts changed lately in ${files.root}\n`);
    await shutdownTelemetry();
    streams.close();
    return;
  }

  const watcher = new Watcher(config, streams, log);
  let service: Service | undefined;
  exitOnSignals(log, async () => {
    await Promise.all([service?.stop(), watcher.stop()]);
  });
  watcher.start();
  service = await startService({
    name: NAME,
    streams,
    log,
    on: { 'request.received': (event, delivery) => watcher.see(event, delivery) },
  });
});
