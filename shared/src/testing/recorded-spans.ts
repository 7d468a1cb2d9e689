import { trace } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

/**
 * Records the spans of this process from now on, by a real SDK.
 *
 * @example
 * const recorded = recordSpans();
 * await until(() => recorded.spanIds().length === 1);
 * recorded.stop();
 */
export function recordSpans() {
  const exporter = new InMemorySpanExporter();
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
  return {
    /** Of those that have ended; they arrive a moment later. */
    spanIds: () => exporter.getFinishedSpans().map((span) => span.spanContext().spanId),
    stop: () => trace.disable(),
  };
}
