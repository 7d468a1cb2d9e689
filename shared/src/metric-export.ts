import { emptyResource } from '@opentelemetry/resources';
import type { MetricProducer } from '@opentelemetry/sdk-metrics';

const sources = new Set<MetricProducer>();

/**
 * Sends what a source collects (a reader for Prometheus, say) along with the metrics of the SDK, where this process
 * exports any: nothing is measured twice, and what is scraped and what is sent are the same figures.
 */
export function exportAlso(source: MetricProducer): void {
  sources.add(source);
}

/** All sources as one, for the SDK's own reader, which says of whom they are. */
export const alsoExported: MetricProducer = {
  async collect(options) {
    const collected = await Promise.all([...sources].map((source) => source.collect(options)));
    const scopeMetrics = collected.flatMap(({ resourceMetrics }) => resourceMetrics.scopeMetrics);
    return {
      resourceMetrics: { resource: emptyResource(), scopeMetrics },
      errors: collected.flatMap(({ errors }) => errors),
    };
  },
};
