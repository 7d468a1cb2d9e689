import type { SpanData } from '../core/span-data.ts';

/** The collector will never take these spans (400, 413): sending them again is of no use. */
export class NotAccepted extends Error {
  override name = 'NotAccepted';
}

export interface SpanExporter {
  /**
   * Sends spans. Resolves when the collector has acknowledged all of them, or at once where telemetry is off; throws
   * NotAccepted for what it will never take, and any other error for what may work later. Spans of a batch before the
   * one that failed have arrived: sent again, they are the same spans.
   */
  export(spans: readonly SpanData[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the way to the collector: OTLP over http/protobuf, gzip. OTEL_EXPORTER_OTLP_HEADERS and
 * the others of its kind are read by the exporter itself.
 *
 * @param environment the process's own; OTEL_EXPORTER_OTLP_ENDPOINT unset: nothing is sent; LOOM_PROJECT: Phoenix's
 *   project (default `loom`)
 *
 * @example
 * const exporter = openSpanExporter(process.env);
 * await exporter.export(spansOf(turn, options));
 */
export function openSpanExporter(environment: Record<string, string | undefined>): SpanExporter {
  const url = tracesUrl(environment);
  if (!url || environment['OTEL_SDK_DISABLED'] === 'true') return { export: async () => {}, close: async () => {} };

  // Loaded only here: a process that exports nothing goes without the SDK.
  const opening = import('./otlp-spans.ts').then(({ openOtlp }) =>
    openOtlp(url, environment['LOOM_PROJECT'] || 'loom'),
  );
  return {
    export: async (spans) => (await opening).export(spans),
    close: async () => (await opening).close(),
  };
}

function tracesUrl(environment: Record<string, string | undefined>): string | undefined {
  const endpoint = environment['OTEL_EXPORTER_OTLP_ENDPOINT'];
  return environment['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] || (endpoint && `${endpoint.replace(/\/$/, '')}/v1/traces`);
}
