import type { ReceivedSpan } from './otlp.ts';

interface Attribute {
  key: string;
  value: { stringValue?: string };
}

interface Span {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  kind?: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: Attribute[];
  links?: { spanId: string }[];
  status?: { code?: number };
}

interface Traces {
  resourceSpans: { resource: { attributes?: Attribute[] }; scopeSpans: { spans: Span[] }[] }[];
}

/** The spans of an `ExportTraceServiceRequest` in OTLP's JSON encoding: ids in hex, names in camel case. */
export function spansOfJson(body: Buffer): ReceivedSpan[] {
  const { resourceSpans } = JSON.parse(body.toString()) as Traces;
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = attributesOf(resource.attributes)['service.name'] ?? '';
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => spanOf(service, span)));
  });
}

function spanOf(service: string, span: Span): ReceivedSpan {
  return {
    service,
    name: span.name,
    traceId: span.traceId,
    spanId: span.spanId,
    parentId: span.parentSpanId ?? '',
    kind: span.kind ?? 0,
    startedAt: Number(span.startTimeUnixNano) / 1e6,
    endedAt: Number(span.endTimeUnixNano) / 1e6,
    attributes: attributesOf(span.attributes),
    events: [],
    linkedIds: (span.links ?? []).map(({ spanId }) => spanId),
    status: span.status?.code ?? 0,
    bytes: Buffer.byteLength(JSON.stringify(span)),
  };
}

function attributesOf(attributes: Attribute[] = []): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? '']));
}
