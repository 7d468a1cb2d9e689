import { type BatchObservableResult, metrics } from '@opentelemetry/api';
import { standingOf } from './consumer-group.ts';
import type { Logger } from './log.ts';
import { errorTypeOf } from './redaction.ts';
import type { Streams } from './streams.ts';
import { untraced } from './telemetry.ts';

// Instruments of the API: they count nothing where nothing is exported.
const meter = metrics.getMeter('loom');
const sent = meter.createCounter('messaging.client.sent.messages', { description: 'Events published, by stream' });
const consumed = meter.createCounter('messaging.client.consumed.messages', {
  description: 'Events given to a service, by stream and group',
});
const processed = meter.createHistogram('messaging.process.duration', {
  unit: 's',
  description: 'Time that a handler took, settling included',
  advice: { explicitBucketBoundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] },
});
const buried = meter.createCounter('loom.stream.deadletter', { description: 'Events given up, by stream and group' });
const lag = meter.createObservableGauge('loom.stream.lag', { description: 'Events that a group has not been given' });
const pending = meter.createObservableGauge('loom.stream.pending', {
  description: 'Events that a group was given and has not settled',
});

/** Replies have a stream for each gateway there ever was: they count as one. */
function destination(key: string) {
  return { 'messaging.destination.name': key.replace(/(:edits):.*$/, '$1') };
}

function membership(key: string, group: string) {
  return { ...destination(key), 'messaging.consumer.group.name': group };
}

export function countSent(key: string, error?: unknown): void {
  sent.add(1, { ...destination(key), ...(error !== undefined && { 'error.type': errorTypeOf(error) }) });
}

export function countConsumed(key: string, group: string): void {
  consumed.add(1, membership(key, group));
}

export function countBuried(key: string, group: string): void {
  buried.add(1, membership(key, group));
}

/** Starts the clock of one event; what it returns stops it. */
export function timeProcessing(key: string, group: string): (error?: unknown) => void {
  const began = performance.now();
  return (error) => {
    const outcome = error === undefined ? {} : { 'error.type': errorTypeOf(error) };
    processed.record((performance.now() - began) / 1_000, { ...membership(key, group), ...outcome });
  };
}

/**
 * Says how far a group is behind in its streams whenever metrics are sent; each replica says it of the whole group.
 *
 * @returns ends it
 */
export function observeGroup(streams: Streams, log: Logger, keys: readonly string[], group: string): () => void {
  const observe = async (result: BatchObservableResult) => {
    for (const key of keys) {
      try {
        const standing = await untraced(() => standingOf(streams.redis, key, group));
        if (!standing) continue;
        result.observe(lag, standing.lag, membership(key, group));
        result.observe(pending, standing.pending, membership(key, group));
      } catch (error) {
        // Redis is away: then nobody knows.
        log.debug('the lag is not known', { stream: key, error });
      }
    }
  };
  meter.addBatchObservableCallback(observe, [lag, pending]);
  return () => meter.removeBatchObservableCallback(observe, [lag, pending]);
}
