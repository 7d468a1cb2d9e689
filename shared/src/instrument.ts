/**
 * Sets OpenTelemetry up before anything else is loaded: `node --import @loom/shared/instrument.ts src/main.ts`.
 *
 * The context manager is always there, so that spans have parents and logs have trace ids. Exporting starts only where
 * OTEL_EXPORTER_OTLP_ENDPOINT is set; nothing of the SDK is even loaded otherwise.
 */
import { context } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { isTelemetryOn } from './telemetry.ts';

if (isTelemetryOn()) {
  const { startExport } = await import('./otlp.ts');
  startExport();
} else {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
}
