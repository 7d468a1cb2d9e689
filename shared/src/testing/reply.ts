import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { type Answer, eventsOf, messageOf, type SseEvent } from './answer.ts';
import type { RecordedRequest } from './upstream.ts';

/** What the scripted upstream sends. The head goes out with the first chunk, an empty one included, or at the end. */
export interface Reply {
  status: number;
  /** As written on the wire: case, order and repetitions are kept. */
  headers: [name: string, value: string][];
  chunks: (Buffer | { waitMs: number } | Gate)[];
  /** Instead of a proper end. `reset`: the connection is reset; `silence`: it stays open and nothing more comes. */
  cutAfter?: 'reset' | 'silence' | undefined;
}

/**
 * Asked when its turn comes: what stands behind it goes out once it has resolved, and never when the client leaves
 * before. A test orders by it what client and upstream do.
 */
export type Gate = () => Promise<unknown>;

export interface Delivery {
  /** The pause between two chunks. */
  delayMs?: number;
  /** One chunk an event (default), a byte, or so many bytes; `crlf`: one an event, with CRLF line ends. */
  chunking?: 'event' | 'byte' | 'crlf' | number;
  /** The body is compressed whole; `event` then means chunks of 64 bytes. */
  encoding?: 'gzip' | 'br' | 'zstd';
  headers?: Record<string, string>;
}

const compress = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync };

/**
 * A streamed answer.
 *
 * @example
 * upstream.script = () => sse({ text: 'Hi.', chunking: 'byte', encoding: 'gzip' });
 */
export function sse(options: Answer & Delivery = {}): Reply {
  return stream(eventsOf(options), options);
}

/** The same answer without streaming. */
export function json(options: Answer & Delivery = {}): Reply {
  return whole(200, messageOf(options), options);
}

/**
 * A script that answers as the request asks: streamed or not by its `stream`, a number for `count_tokens`, an empty 200
 * for anything but a POST. Model and ids follow the request; usage is the prompt cache's unless `usage` says otherwise.
 *
 * @example
 * const upstream = await startUpstream(answer({ text: 'Hi.' }));
 */
export function answer(options: Answer & Delivery = {}): (request: RecordedRequest) => Reply {
  return (request) => {
    if (request.method !== 'POST') return raw({ status: 200 });
    const serial = String(request.ordinal).padStart(6, '0');
    const headers = { 'request-id': `req_01Scripted${serial}`, ...options.headers };
    if (request.url.startsWith('/v1/messages/count_tokens'))
      return whole(200, { input_tokens: Math.ceil(request.body.length / 4) }, { headers });

    const { model, stream: streamed } = request.json();
    const usage = { ...request.usage(), ...options.usage };
    const reply = streamed === true ? sse : json;
    const named = model === undefined ? {} : { model };
    return reply({ id: `msg_01Scripted${serial}`, ...named, ...options, usage, headers });
  };
}

/**
 * An error in the API's own form (platform.claude.com/docs/en/api/errors).
 *
 * @example
 * apiError(529, 'overloaded_error', 'Overloaded', { 'retry-after': '1' });
 */
export function apiError(status: number, type: string, message: string, headers: Record<string, string> = {}): Reply {
  const requestId = headers['request-id'] ?? 'req_01Scripted';
  return whole(status, { type: 'error', error: { type, message }, request_id: requestId }, { headers });
}

/** Exactly these bytes; for everything that the API would never say. */
export function raw(reply: Partial<Reply>): Reply {
  return { status: 200, headers: [], chunks: [], ...reply };
}

/** Takes the request and never answers. */
export function hang(): Reply {
  return raw({ cutAfter: 'silence' });
}

/**
 * A stream that ends too early, after so many events.
 *
 * @param how `reset` the connection, say `error` (an `overloaded_error` event) and end, or just `end`
 */
export function cutMidStream(
  afterEvents: number,
  how: 'reset' | 'error' | 'end' = 'reset',
  options: Answer & Delivery = { text: 'This sentence will never be finished.' },
): Reply {
  const events = eventsOf(options).slice(0, afterEvents);
  if (how === 'error') events.push({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } });
  return { ...stream(events, options), cutAfter: how === 'reset' ? 'reset' : undefined };
}

function stream(events: SseEvent[], delivery: Delivery): Reply {
  const newline = delivery.chunking === 'crlf' ? '\r\n' : '\n';
  const frames = events.map((event) =>
    Buffer.from(`event: ${event.type}${newline}data: ${JSON.stringify(event)}${newline}${newline}`),
  );
  return send(200, 'text/event-stream; charset=utf-8', frames, delivery);
}

function whole(status: number, body: unknown, delivery: Delivery): Reply {
  return send(status, 'application/json', [Buffer.from(JSON.stringify(body))], delivery);
}

function send(status: number, contentType: string, frames: Buffer[], delivery: Delivery): Reply {
  const { encoding, delayMs, headers = {} } = delivery;
  const body = Buffer.concat(frames);
  const sent = encoding ? compress[encoding](body) : body;
  const chunks = cut(sent, encoding ? [] : frames, delivery.chunking);

  return {
    status,
    headers: Object.entries({
      'content-type': contentType,
      'request-id': 'req_01Scripted',
      ...(encoding && { 'content-encoding': encoding }),
      ...headers,
    }),
    chunks: delayMs ? chunks.flatMap((chunk, index) => (index ? [{ waitMs: delayMs }, chunk] : [chunk])) : chunks,
  };
}

function cut(body: Buffer, frames: Buffer[], chunking: Delivery['chunking'] = 'event'): Buffer[] {
  const size = chunking === 'byte' ? 1 : typeof chunking === 'number' ? chunking : 64;
  if (typeof chunking === 'string' && chunking !== 'byte' && frames.length > 0) return frames;
  return Array.from({ length: Math.ceil(body.length / size) }, (_, index) =>
    body.subarray(index * size, (index + 1) * size),
  );
}
