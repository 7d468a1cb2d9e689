import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { spansOfJson } from './otlp-json.ts';
import { takeProtobuf } from './otlp-protobuf.ts';

export type AttributeValue = string | number | boolean | AttributeValue[];

/** A span with the types and times that it arrived with; ids in hex, `parentId` empty for a root. */
export interface ReceivedSpan {
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
  attributes: Record<string, AttributeValue>;
  events: { name: string; at: number }[];
  linkedIds: string[];
  /** unset 0, ok 1, error 2 */
  status: number;
  /** As it was encoded. */
  bytes: number;
}

/** A log record as it arrived. */
export interface ReceivedLog {
  service: string;
  body: string;
  attributes: Record<string, AttributeValue>;
  traceId: string;
  spanId: string;
}

/** One time series of a metric; of a histogram, `value` is the sum and `count` how many were measured. */
export interface ReceivedPoint {
  service: string;
  name: string;
  unit: string;
  attributes: Record<string, AttributeValue>;
  value: number;
  count?: number;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  readonly logs: ReceivedLog[];
  /** Of each time that metrics were sent, the older ones first. */
  readonly metrics: ReceivedPoint[];
  /** The requests that it took: path, content encoding, and size of the body without that. */
  readonly requests: { path: string; encoding: string; bytes: number }[];
  /** Whether it takes what it gets, refuses it for now (503), or never answers. */
  state: 'taking' | 'refusing' | 'hanging';
  /** Requests that it did not take. */
  readonly untaken: number;
  /** All that it took, as text: whatever was said in it is found here. */
  text(): string;
  close(): Promise<void>;
}

/**
 * Starts a collector for tests: takes OTLP over http/protobuf, and spans over http/json, on a free loopback port, keeps
 * what it got, and can be made to fail.
 *
 * @example
 * const collector = await startOtlpReceiver(); // OTEL_EXPORTER_OTLP_ENDPOINT = collector.url
 */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const bodies: Buffer[] = [];
  const hanging = new Set<ServerResponse>();
  let untaken = 0;
  const server = createServer(async (request, response) => {
    // Who was killed while sending has sent nothing.
    const sent = await buffer(request).catch(() => undefined);
    if (!sent) return;
    if (receiver.state !== 'taking') {
      untaken += 1;
      if (receiver.state === 'hanging') hanging.add(response);
      else response.writeHead(503).end();
      return;
    }
    const { url: path = '', headers } = request;
    const body = headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    bodies.push(body);
    receiver.requests.push({ path, encoding: headers['content-encoding'] ?? 'identity', bytes: body.length });
    const type = headers['content-type'] ?? '';
    if (type === 'application/json') receiver.spans.push(...spansOfJson(body));
    else takeProtobuf(receiver, path, body);
    response.writeHead(200, { 'content-type': type }).end(type === 'application/json' ? '{}' : undefined);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const receiver: OtlpReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    logs: [],
    metrics: [],
    requests: [],
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
  return receiver;
}
