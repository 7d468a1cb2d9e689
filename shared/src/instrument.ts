/**
 * Sets OpenTelemetry up before anything else is loaded: `node --import @loom/shared/instrument.ts src/main.ts`.
 *
 * The context manager and the W3C propagator are always there, so that spans have parents and logs have trace ids.
 * Exporting starts only where OTEL_EXPORTER_OTLP_ENDPOINT is set; the SDK is not even loaded otherwise (it costs 78 MB).
 */
import { context, propagation } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { isTelemetryOn } from './telemetry.ts';

if (isTelemetryOn()) {
  const { startExport } = await import('./otlp.ts');
  startExport();
} else {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
}
