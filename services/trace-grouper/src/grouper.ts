import type { Logger } from '@loom/shared/log.ts';
import { type Service, startService } from '@loom/shared/service.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import type { z } from 'zod';
import { backlogMs, backlogRead } from './adapters/backlog.ts';
import { Gateways } from './adapters/gateways.ts';
import type { SpanExporter } from './adapters/span-exporter.ts';
import { TurnExports } from './adapters/turn-exports.ts';
import { TurnMetrics } from './adapters/turn-metrics.ts';
import { TurnStore } from './adapters/turn-store.ts';
import { TurnTimer } from './adapters/turn-timer.ts';
import type { Config } from './config.ts';
import type { Prices } from './core/prices.ts';
import { redactWith } from './core/redact.ts';
import { type Counters, newCounters, shown } from './counters.ts';
import { Finish } from './finish.ts';
import { Group } from './group.ts';

/** The service's name: its consumer group. */
export const NAME = 'trace-grouper';

/** A handler is done in milliseconds; what a killed replica had, its turns wait for. */
const CLAIM_IDLE_MS = 5_000;

export interface GrouperOptions {
  config: z.infer<typeof Config>;
  streams: Streams;
  exporter: SpanExporter;
  log: Logger;
  prices: Prices;
  /** Names this process among the replicas; see `ServiceOptions`. */
  replica?: string;
}

export interface Grouper {
  readonly counters: Readonly<Counters>;
  /** Resolves when what is published from then on is read. Waits for Redis as long as it takes. */
  start(): Promise<void>;
  /** Drains within 5 s; what is under way by then is in Redis, for the next one. */
  stop(): Promise<void>;
}

/** Joins the handlers, the timer and the export of one replica; `main` adds the process. */
export function openGrouper({ config, streams, exporter, log, prices, replica }: GrouperOptions): Grouper {
  const limits = {
    graceMs: config.LOOM_TURN_GRACE_MS,
    retryMs: config.LOOM_TURN_RETRY_MS,
    idleMs: config.LOOM_TURN_IDLE_MS,
    toolIdleMs: config.LOOM_TURN_TOOL_IDLE_MS,
  };
  const queue = { url: config.REDIS_URL, prefix: `${config.LOOM_KEY_PREFIX}:bull`, log };
  const [store, timer, exports] = [new TurnStore(streams), new TurnTimer(queue), new TurnExports(queue)];
  const capture = config.LOOM_CAPTURE;
  const withContent = capture === 'delta' || capture === 'full';
  const intake = { withContent, redact: redactWith(config.LOOM_REDACT) };
  const counters = newCounters();
  const group = new Group({ store, timer, counters, log, limits, intake });
  const render = { prices, capture, prefix: config.LOOM_KEY_PREFIX };
  const gateways = new Gateways(streams);
  const behindMs = () => untraced(() => backlogMs(streams, NAME));
  const metrics = new TurnMetrics(prices);
  const ending = { streams, store, behindMs, gateways, timer, exports, exporter, metrics };
  const finish = new Finish({ ...ending, counters, log, limits, render });
  let service: Service | undefined;
  const stopping = new AbortController();
  const unobserve = metrics.observeOpen(() => timer.count());

  return {
    counters,
    async start() {
      service = await startService({
        name: NAME,
        ...(replica !== undefined && { replica }),
        streams,
        log,
        claimIdleMs: CLAIM_IDLE_MS,
        on: {
          // What it asks of Redis is its own account of the turn.
          'request.received': (event) => untraced(() => group.take(event)),
          'request.forwarded': (event) => untraced(() => group.take(event)),
          'exchange.captured': (event) => untraced(() => group.take(event)),
          'response.completed': (event) => untraced(() => answered(event)),
          'response.failed': (event) => untraced(() => answered(event)),
          'transcript.line': (event) => untraced(() => group.takeLine(event).then(() => [])),
        },
      });
      // Not in the way of the start: whoever waits for that wants what comes from now on to be read.
      void backlogRead({ behindMs, log, signal: stopping.signal }).then(() => {
        if (!stopping.signal.aborted) timer.start((turn) => finish.judge(turn));
      });
      exports.start((turn) => finish.send(turn));
    },
    async stop() {
      stopping.abort();
      unobserve();
      // First those who set alarms.
      await service?.stop();
      await Promise.all([timer.close(), exports.close()]);
      // It is idle by now, or in the middle of what the next replica sends again: nothing to wait for.
      exporter.close().catch(() => {});
      streams.close();
      log.info('turns counted', { counters: shown(counters) });
    },
  };

  async function answered(event: Parameters<Group['keepQuota']>[0]) {
    await group.keepQuota(event);
    return group.take(event);
  }
}
