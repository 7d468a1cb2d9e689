import { type Attributes, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { ExportResultCode, millisToHrTime } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { CompressionAlgorithm, OTLPExporterError } from '@opentelemetry/otlp-exporter-base';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { SpanData } from '../core/span-data.ts';
import { NotAccepted, type SpanExporter } from './span-exporter.ts';

const MAX_BATCH_SPANS = 64;
/** A collector takes 20 MiB, Phoenix by gRPC 4 MiB; a span has 200 KB at most. */
const MAX_BATCH_BYTES = 8_000_000;

/** Sends spans to a collector's `/v1/traces` at `url`, for Phoenix's project `project`. */
export function openOtlp(url: string, project: string): SpanExporter {
  const exporter = new OTLPTraceExporter({ url, compression: CompressionAlgorithm.GZIP });
  const resource = resourceFromAttributes({
    // The turns are everybody's; this process's own spans carry its name.
    'service.name': 'loom',
    'openinference.project.name': project,
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
