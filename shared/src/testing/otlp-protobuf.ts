import type { AttributeValue, OtlpReceiver, ReceivedLog, ReceivedPoint, ReceivedSpan } from './otlp.ts';
import { decodeMessage, type Message } from './protobuf.ts';

type Attributes = Record<string, AttributeValue>;

/**
 * Reads one export request, of spans, logs or metrics by its path. Field numbers are those of
 * https://github.com/open-telemetry/opentelemetry-proto.
 */
export function takeProtobuf(into: Pick<OtlpReceiver, 'spans' | 'logs' | 'metrics'>, path: string, body: Buffer): void {
  for (const group of messages(decodeMessage(body), 1)) {
    const service = String(attributesOf(message(group, 1), 1)['service.name'] ?? '');
    for (const scope of messages(group, 2))
      for (const item of scope.get(2) ?? [])
        if (path === '/v1/traces') into.spans.push(spanOf(service, item as Buffer));
        else if (path === '/v1/logs') into.logs.push(logOf(service, decodeMessage(item as Buffer)));
        else into.metrics.push(...pointsOf(service, decodeMessage(item as Buffer)));
  }
}

function spanOf(service: string, encoded: Buffer): ReceivedSpan {
  const span = decodeMessage(encoded);
  return {
    service,
    name: text(span, 5),
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parentId: hex(span, 4),
    kind: Number(span.get(6)?.[0] ?? 0),
    startedAt: millisecondsOf(span, 7),
    endedAt: millisecondsOf(span, 8),
    attributes: attributesOf(span, 9),
    events: messages(span, 11).map((event) => ({ name: text(event, 2), at: millisecondsOf(event, 1) })),
    linkedIds: messages(span, 13).map((link) => hex(link, 2)),
    status: Number(message(span, 15).get(3)?.[0] ?? 0),
    bytes: encoded.length,
  };
}

function logOf(service: string, record: Message): ReceivedLog {
  const attributes = attributesOf(record, 6);
  return { service, body: text(message(record, 5), 1), attributes, traceId: hex(record, 9), spanId: hex(record, 10) };
}

const [GAUGE, SUM, HISTOGRAM] = [5, 7, 9];

function pointsOf(service: string, metric: Message): ReceivedPoint[] {
  const named = { service, name: text(metric, 1), unit: text(metric, 3) };
  const numbers = [GAUGE, SUM].flatMap((kind) => messages(message(metric, kind), 1));
  const histograms = messages(message(metric, HISTOGRAM), 1);
  return [
    ...numbers.map((point) => {
      const double = point.get(4)?.[0];
      const value = double === undefined ? Number(BigInt.asIntN(64, fixed(point, 6))) : doubleOf(double as bigint);
      return { ...named, attributes: attributesOf(point, 7), value };
    }),
    ...histograms.map((point) => ({
      ...named,
      attributes: attributesOf(point, 9),
      value: doubleOf(fixed(point, 5)),
      count: Number(fixed(point, 4)),
    })),
  ];
}

function attributesOf(parent: Message, field: number): Attributes {
  return Object.fromEntries(messages(parent, field).map((pair) => [text(pair, 1), typedValue(message(pair, 2))]));
}

/** An `AnyValue`. */
function typedValue(value: Message): AttributeValue {
  const [field = 0, [first] = []] = [...value][0] ?? [];
  if (field === 1) return String(first);
  if (field === 2) return first === 1n;
  if (field === 3) return Number(BigInt.asIntN(64, first as bigint));
  if (field === 4) return doubleOf(first as bigint);
  if (field === 5) return messages(message(value, 5), 1).map(typedValue);
  return JSON.stringify([...value.keys()]);
}

function doubleOf(bits: bigint): number {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(bits);
  return bytes.readDoubleLE();
}

function fixed(parent: Message, field: number): bigint {
  return (parent.get(field)?.[0] as bigint | undefined) ?? 0n;
}

function millisecondsOf(parent: Message, field: number): number {
  return Number(fixed(parent, field) / 1_000n) / 1_000;
}

function messages(parent: Message, field: number): Message[] {
  return (parent.get(field) ?? []).map((value) => decodeMessage(value as Buffer));
}

function message(parent: Message, field: number): Message {
  return messages(parent, field)[0] ?? new Map();
}

function bytes(parent: Message, field: number): Buffer {
  const value = parent.get(field)?.[0];
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
}

const text = (parent: Message, field: number) => bytes(parent, field).toString();
const hex = (parent: Message, field: number) => bytes(parent, field).toString('hex');
