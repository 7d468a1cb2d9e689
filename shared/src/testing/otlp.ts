import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { spansOfJson } from './otlp-json.ts';
import { decodeMessage, type Message } from './protobuf.ts';

/** A span as it arrived; ids in hex, `parentId` empty for a root. */
export interface ReceivedSpan {
  service: string;
  name: string;
  traceId: string;
  spanId: string;
  parentId: string;
  /** internal 1, server 2, client 3, producer 4, consumer 5 */
  kind: number;
  /** Attributes whose value is a string. */
  attributes: Record<string, string>;
  linkedIds: string[];
  /** unset 0, ok 1, error 2 */
  status: number;
}

/** A log record as it arrived. */
export interface ReceivedLog {
  service: string;
  body: string;
  traceId: string;
  spanId: string;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  readonly logs: ReceivedLog[];
  /** The requests so far: path and content encoding. */
  readonly requests: { path: string; encoding: string }[];
  close(): Promise<void>;
}

/**
 * Starts a collector for tests: takes OTLP over http/protobuf, and spans over http/json, on a free loopback port and
 * keeps what it got. Field numbers are those of https://github.com/open-telemetry/opentelemetry-proto.
 *
 * @example
 * const collector = await startOtlpReceiver(); // OTEL_EXPORTER_OTLP_ENDPOINT = collector.url
 */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const logs: ReceivedLog[] = [];
  const requests: OtlpReceiver['requests'] = [];
  const server = createServer(async (request, response) => {
    const { url: path = '', headers } = request;
    requests.push({ path, encoding: headers['content-encoding'] ?? 'identity' });
    const bytes = await readBody(request);
    if (headers['content-type'] === 'application/json') {
      spans.push(...spansOfJson(bytes));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      return;
    }
    const body = decodeMessage(bytes);
    for (const group of messages(body, 1)) {
      const service = attributesOf(message(group, 1), 1)['service.name'] ?? '';
      for (const scope of messages(group, 2))
        for (const item of messages(scope, 2))
          if (path === '/v1/traces') spans.push(spanOf(service, item));
          else if (path === '/v1/logs') logs.push(logOf(service, item));
    }
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('expected a TCP address of the receiver');
  return {
    url: `http://127.0.0.1:${address.port}`,
    spans,
    logs,
    requests,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function spanOf(service: string, span: Message): ReceivedSpan {
  return {
    service,
    name: text(span, 5),
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parentId: hex(span, 4),
    kind: Number(span.get(6)?.[0] ?? 0),
    attributes: attributesOf(span, 9),
    linkedIds: messages(span, 13).map((link) => hex(link, 2)),
    status: Number(message(span, 15).get(3)?.[0] ?? 0),
  };
}

function logOf(service: string, record: Message): ReceivedLog {
  return { service, body: text(message(record, 5), 1), traceId: hex(record, 9), spanId: hex(record, 10) };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const body = await buffer(request);
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
}

function attributesOf(parent: Message, field: number): Record<string, string> {
  return Object.fromEntries(messages(parent, field).map((pair) => [text(pair, 1), text(message(pair, 2), 1)]));
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
