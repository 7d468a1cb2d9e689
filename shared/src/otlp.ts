import { createRequire } from 'node:module';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { IORedisInstrumentation } from '@opentelemetry/instrumentation-ioredis';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { envDetector, hostDetector, resourceFromAttributes, serviceInstanceIdDetector } from '@opentelemetry/resources';
import { BatchLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { AlwaysOnSampler } from '@opentelemetry/sdk-trace';
import { lossCounting } from './export-losses.ts';
import { alsoExported } from './metric-export.ts';
import { measureProcess } from './process-metrics.ts';
import { SpanDelivery } from './span-delivery.ts';
import { useTelemetry } from './telemetry.ts';

/**
 * Starts the export of spans, logs and metrics over OTLP (http/protobuf, gzip) to OTEL_EXPORTER_OTLP_ENDPOINT, as the service
 * OTEL_SERVICE_NAME, and the spans of Redis commands. Loaded by `instrument.ts` alone, and only where there is an
 * endpoint: NodeSDK loads every exporter there is, gRPC included (measured: 78 MB).
 */
export function startExport(): void {
  const timeout = process.env['OTEL_EXPORTER_OTLP_TIMEOUT'] ? {} : { timeoutMillis: 5_000 };
  const exporting = { compression: CompressionAlgorithm.GZIP, ...timeout };
  // Batches of 64: a collector refuses 20 MiB, and what it refuses is lost. Below 200 KB a span they stay under 13 MB.
  const maxQueueSize = Number(process.env['OTEL_BSP_MAX_QUEUE_SIZE']) || 4_096;
  const limits = { maxQueueSize, maxExportBatchSize: 64, scheduledDelayMillis: 1_000 };
  const batching = { ...limits, selfObsMeterProvider: lossCounting };
  // What a killed process had not sent by then is missing in its trace; one request's spans still leave together.
  const spans = new SpanDelivery(new OTLPTraceExporter(exporting), { ...batching, scheduledDelayMillis: 200 });
  const sdk = new NodeSDK({
    // One trace is one project: Phoenix puts it where its first span belongs, whichever service sends that.
    resource: resourceFromAttributes({ 'openinference.project.name': process.env['LOOM_PROJECT'] || 'loom' }),
    // Not the process detector: a command line may hold a password.
    resourceDetectors: [serviceInstanceIdDetector, hostDetector, envDetector],
    // A client may say `not sampled`; its turn is wanted all the same.
    sampler: new AlwaysOnSampler(),
    spanLimits: { attributeCountLimit: 1_024, eventCountLimit: 256 },
    spanProcessors: [spans],
    logRecordProcessors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(exporting), ...batching })],
    metricReaders: process.env['OTEL_METRICS_EXPORTER'] === 'none' ? [] : [metricReader(exporting)],
    // The name of a command alone: the arguments of an EVAL are what a persona remembers, and nobody scrubs them.
    instrumentations: [new IORedisInstrumentation({ requireParentSpan: true, dbStatementSerializer: (name) => name })],
  });
  sdk.start();
  // The patch sees what is required, not what is imported; it is the same class. A hook for imports costs a thread, 40 MB.
  createRequire(import.meta.url)('ioredis');
  measureProcess();
  useTelemetry({ flush: () => spans.flush(), shutdown: () => sdk.shutdown() });
}

/** Once a minute, unless OTEL_METRIC_EXPORT_INTERVAL says otherwise, and at the end. */
function metricReader(exporting: ConstructorParameters<typeof OTLPMetricExporter>[0]): PeriodicExportingMetricReader {
  return new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(exporting),
    metricProducers: [alsoExported],
    exportIntervalMillis: Number(process.env['OTEL_METRIC_EXPORT_INTERVAL']) || 60_000,
  });
}
