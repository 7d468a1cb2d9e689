import { exportAlso } from '@loom/shared/metric-export.ts';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { remainingOf, utilizationOf } from '../core/rate-limits.ts';
import { callMetrics } from './call-metrics.ts';
import { requestMetrics } from './request-metrics.ts';

const HOLD_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.05, 0.15, 0.5, 1, 5, 10];

export type Metrics = ReturnType<typeof openMetrics>;

/**
 * The gateway's counters, readable at the admin port's `/metrics`, and sent over OTLP where the gateway exports. No session
 * or request id is ever a label.
 */
export function openMetrics() {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const provider = new MeterProvider({ readers: [exporter] });
  exportAlso(exporter);
  const meter = provider.getMeter('loom.gateway');
  return {
    exporter,
    /** Takes down a call of the model that has ended. */
    recordCall: callMetrics(meter),
    /** Takes down a request of any path, until its answer is out. */
    followRequest: requestMetrics(meter),
    /** Messages exchanges that have ended, and those of them that failed, as `loom status` shows them. */
    tally: { handled: 0, failed: 0 },
    requests: meter.createCounter('loom.requests', { description: 'Messages requests, by class and profile' }),
    exchangesEnded: meter.createCounter('loom.exchanges.ended', { description: 'Messages exchanges, by end reason' }),
    activeExchanges: meter.createUpDownCounter('loom.exchanges.active', {
      description: 'Messages exchanges under way',
    }),
    edits: meter.createCounter('loom.edits', { description: 'Answers of rewriters, by rewriter and outcome' }),
    metadataBlocks: meter.createCounter('loom.metadata.blocks', { description: 'Metadata blocks cut out' }),
    ledgerReplayed: meter.createCounter('loom.ledger.replayed', { description: 'Durable edits replayed' }),
    ledgerMissed: meter.createCounter('loom.ledger.missed', { description: 'Durable edits whose text was gone' }),
    readsFailed: meter.createCounter('loom.redis.reads.failed', {
      description: 'Reads that Redis did not answer in time',
    }),
    repliesDropped: meter.createCounter('loom.replies.dropped', {
      description: 'Answers nobody waited for, by reason',
    }),
    unfollowable: meter.createCounter('loom.bodies.unfollowable', { description: 'Bodies forwarded without a look' }),
    pageRequests: meter.createCounter('loom.requests.of_pages', {
      description: 'Messages requests of web pages (with an origin), forwarded without a look',
    }),
    connectionsDropped: meter.createCounter('loom.connections.dropped', {
      description: 'Connections that were one too many',
    }),
    bytesHeld: meter.createUpDownCounter('loom.bodies.held', {
      unit: 'By',
      description: 'Bodies of Messages requests in memory',
    }),
    bodiesRefused: meter.createCounter('loom.bodies.refused', {
      description: 'Bodies that were not read to their end, by reason: too_large, overloaded, stalled',
    }),
    stageFailed: meter.createCounter('loom.edit_stage.failed', {
      description: 'Requests forwarded without edits after a fault',
    }),
    factsFailed: meter.createCounter('loom.facts.failed', {
      description: 'Parts of an event that could not be made out, by part',
    }),
    captures: meter.createCounter('loom.captures', {
      description: 'Exchanges whose content was captured, by outcome: published, dropped (Redis), failed',
    }),
    capturesTruncated: meter.createCounter('loom.captures.truncated', { description: 'Captures that were cut' }),
    quotaUtilization: meter.createGauge('loom.quota.utilization', {
      description: 'How far a limit of the subscription is used up, 0 to 1, as the newest answer said, by window',
    }),
    quotaRemaining: meter.createGauge('loom.quota.remaining', {
      description: 'What a limit of an API key has left, as the newest answer said, by limit',
    }),
    quotaSeen: meter.createGauge('loom.quota.seen', {
      unit: 's',
      description: 'When an answer last said so, Unix time, by window',
    }),
    unobserved: meter.createCounter('loom.responses.unobserved', {
      description: 'Answers that could not be read along',
    }),
    unwrittenDropped: meter.createCounter('loom.unwritten.dropped', {
      description: 'What too much waits for Redis to be kept until it is there, by kind: session, edit',
    }),
    spooled: meter.createCounter('loom.spool.events', { description: 'Events that went to the spool' }),
    spoolDropped: meter.createCounter('loom.spool.dropped', { description: 'Events that the spool had no room for' }),
    overhead: meter.createHistogram('loom.gateway.overhead', {
      unit: 's',
      description: 'From when a request had arrived to when it went out, waiting for edits included',
      advice: { explicitBucketBoundaries: HOLD_SECONDS },
    }),
    stage: meter.createHistogram('loom.stage.duration', {
      unit: 's',
      description: 'Time that a request waited for a rewriter, by rewriter and outcome',
      advice: { explicitBucketBoundaries: HOLD_SECONDS },
    }),
    held: meter.createHistogram('loom.request.held', {
      unit: 's',
      description: 'Time that requests waited for edits',
      advice: { explicitBucketBoundaries: HOLD_SECONDS },
    }),
  };
}

/** Takes down what an answer says of the account's limits. */
export function recordQuota(metrics: Metrics, limits: Record<string, string> | undefined): void {
  for (const [limit, remaining] of remainingOf(limits ?? {})) metrics.quotaRemaining.record(remaining, { limit });
  for (const window of ['5h', '7d'] as const) {
    const utilization = limits && utilizationOf(limits, window);
    if (utilization === undefined) continue;
    metrics.quotaUtilization.record(utilization, { window });
    metrics.quotaSeen.record(Math.floor(Date.now() / 1_000), { window });
  }
}
