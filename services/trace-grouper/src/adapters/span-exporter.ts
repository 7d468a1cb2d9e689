import { type Attributes, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { ExportResultCode, millisToHrTime } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { CompressionAlgorithm, OTLPExporterError } from '@opentelemetry/otlp-exporter-base';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
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

const MAX_BATCH_SPANS = 64;
/** A collector takes 20 MiB, Phoenix by gRPC 4 MiB; a span has 200 KB at most. */
const MAX_BATCH_BYTES = 8_000_000;

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

  const exporter = new OTLPTraceExporter({ url, compression: CompressionAlgorithm.GZIP });
  const resource = resourceFromAttributes({
    // The turns are everybody's; this process's own spans carry its name.
    'service.name': 'loom',
    'openinference.project.name': environment['LOOM_PROJECT'] || 'loom',
  });
  const send = async (batch: SpanData[]) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    exporter.export(
      batch.map((span) => readable(span, resource)),
      ({ code, error }) => (code === ExportResultCode.SUCCESS ? resolve() : reject(reasonOf(error, batch.length))),
    );
    return promise;
  };
  return {
    async export(spans) {
      for (const batch of batches(spans)) await send(batch);
    },
    close: () => exporter.shutdown(),
  };
}

function tracesUrl(environment: Record<string, string | undefined>): string | undefined {
  const endpoint = environment['OTEL_EXPORTER_OTLP_ENDPOINT'];
  return environment['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] || (endpoint && `${endpoint.replace(/\/$/, '')}/v1/traces`);
}

function reasonOf(error: Error | undefined, spans: number): Error {
  const code = error instanceof OTLPExporterError ? error.code : undefined;
  const message = `expected the collector to take ${spans} spans, got ${code ?? error?.message ?? 'no answer'}`;
  return code === 400 || code === 413
    ? new NotAccepted(message, { cause: error })
    : new Error(message, { cause: error });
}

function batches(spans: readonly SpanData[]): SpanData[][] {
  const all: SpanData[][] = [];
  let bytes = 0;
  for (const span of spans) {
    const size = Buffer.byteLength(JSON.stringify(span));
    const last = all.at(-1);
    if (last && last.length < MAX_BATCH_SPANS && bytes + size <= MAX_BATCH_BYTES) {
      last.push(span);
      bytes += size;
    } else {
      all.push([span]);
      bytes = size;
    }
  }
  return all;
}

const KIND = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};
const STATUS = { unset: SpanStatusCode.UNSET, ok: SpanStatusCode.OK, error: SpanStatusCode.ERROR };

/** A span as the exporter wants it; the SDK itself cannot make one of given ids and times. */
function readable(span: SpanData, resource: Resource): ReadableSpan {
  const { traceId, spanId, parentSpanId, startedAt, endedAt } = span;
  const contextOf = (id: string, trace = traceId) => ({ traceId: trace, spanId: id, traceFlags: TraceFlags.SAMPLED });
  return {
    name: span.name,
    kind: KIND[span.kind],
    spanContext: () => contextOf(spanId),
    ...(parentSpanId !== undefined && { parentSpanContext: contextOf(parentSpanId) }),
    startTime: millisToHrTime(startedAt),
    endTime: millisToHrTime(endedAt),
    duration: millisToHrTime(endedAt - startedAt),
    status: {
      code: STATUS[span.status],
      ...(span.statusMessage !== undefined && { message: span.statusMessage }),
    },
    attributes: span.attributes as Attributes,
    links: span.links.map((link) => ({ context: contextOf(link.spanId, link.traceId) })),
    events: span.events.map(({ name, at, attributes = {} }) => ({ name, time: millisToHrTime(at), attributes })),
    ended: true,
    resource,
    instrumentationScope: { name: 'loom' },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}
