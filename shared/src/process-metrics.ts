import { performance } from 'node:perf_hooks';
import { metrics } from '@opentelemetry/api';
import { lostSoFar } from './export-losses.ts';

/** Measures this process itself, whenever its metrics are sent. */
export function measureProcess(): void {
  const meter = metrics.getMeter('loom');
  meter
    .createObservableGauge('process.memory.usage', { unit: 'By', description: 'Resident memory' })
    .addCallback((result) => result.observe(process.memoryUsage.rss()));
  let before = performance.eventLoopUtilization();
  meter
    .createObservableGauge('nodejs.eventloop.utilization', {
      unit: '1',
      description: 'Share of the time at work, 0 to 1',
    })
    .addCallback((result) => {
      const now = performance.eventLoopUtilization();
      result.observe(performance.eventLoopUtilization(now, before).utilization);
      before = now;
    });
  meter
    .createObservableCounter('loom.telemetry.dropped', { description: 'Spans and log records that will never arrive' })
    .addCallback((result) => result.observe(lostSoFar()));
}
