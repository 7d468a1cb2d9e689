import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { decodeMessage, type Message } from '@loom/shared/testing/protobuf.ts';

type Value = string | number | boolean | Value[];

/** A span with the types and times that it arrived with; `parentId` is empty for a root. */
export interface RecordedSpan {
  service: string;
  name: string;
  traceId: string;
  spanId: string;
  parentId: string;
  /** internal 1, server 2, client 3, producer 4, consumer 5 */
  kind: number;
  /** Unix ms. */
  startedAt: number;
  endedAt: number;
  attributes: Record<string, Value>;
  events: { name: string; at: number }[];
  linkedIds: string[];
  /** unset 0, ok 1, error 2 */
  status: number;
  /** Of its protobuf. */
  bytes: number;
}

export interface RecordedLog {
  service: string;
  body: string;
  attributes: Record<string, Value>;
  traceId: string;
  spanId: string;
}

export interface Recorder {
  readonly url: string;
  readonly spans: RecordedSpan[];
  readonly logs: RecordedLog[];
  /** The size of each request, decompressed. */
  readonly batchBytes: number[];
  /** Whether it takes what it gets, refuses it for now (503), or never answers. */
  state: 'taking' | 'refusing' | 'hanging';
  /** Requests that it did not take. */
  readonly untaken: number;
  /** All that it took, as text: whatever was said in it is found here. */
  text(): string;
  close(): Promise<void>;
}

/**
 * Starts a collector that keeps all it gets, every attribute with its type, and can be made to fail. Field numbers are
 * those of https://github.com/open-telemetry/opentelemetry-proto.
 */
export async function startRecorder(): Promise<Recorder> {
  const bodies: Buffer[] = [];
  const hanging = new Set<ServerResponse>();
  const server = createServer(async (request, response) => {
    const sent = await buffer(request);
    if (recorder.state !== 'taking') {
      untaken += 1;
      if (recorder.state === 'hanging') hanging.add(response);
      else response.writeHead(503).end();
      return;
    }
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    bodies.push(body);
    recorder.batchBytes.push(body.length);
    take(recorder, request.url ?? '', decodeMessage(body));
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  let untaken = 0;
  const recorder: Recorder = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    logs: [],
    batchBytes: [],
    state: 'taking',
    get untaken() {
      return untaken;
    },
    text: () => Buffer.concat(bodies).toString(),
    async close() {
      for (const response of hanging) response.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return recorder;
}

function take({ spans, logs }: Recorder, path: string, body: Message): void {
  for (const group of messages(body, 1)) {
    const service = String(attributesOf(message(group, 1), 1)['service.name'] ?? '');
    for (const scope of messages(group, 2))
      for (const item of scope.get(2) ?? [])
        if (path === '/v1/traces') spans.push(spanOf(service, item as Buffer));
        else logs.push(logOf(service, decodeMessage(item as Buffer)));
  }
}

function spanOf(service: string, encoded: Buffer): RecordedSpan {
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

function logOf(service: string, record: Message): RecordedLog {
  const attributes = attributesOf(record, 6);
  return { service, body: text(message(record, 5), 1), attributes, traceId: hex(record, 9), spanId: hex(record, 10) };
}

function attributesOf(parent: Message, field: number): Record<string, Value> {
  return Object.fromEntries(messages(parent, field).map((pair) => [text(pair, 1), typedValue(message(pair, 2))]));
}

/** An `AnyValue`. */
function typedValue(value: Message): Value {
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

function millisecondsOf(parent: Message, field: number): number {
  return Number((parent.get(field)?.[0] as bigint | undefined) ?? 0n) / 1e6;
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
