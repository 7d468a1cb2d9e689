import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type InputUsage, PromptCache } from './prompt-cache.ts';
import { answer, apiError, type Reply } from './reply.ts';

/** A Messages request as far as tests look into it; every other field is there, too. */
export interface RequestBody {
  model?: string;
  stream?: boolean;
  system?: unknown;
  tools?: unknown[];
  messages?: { role: string; content: unknown }[];
  [field: string]: unknown;
}

/** A request as the upstream got it, byte for byte, recorded when its body was complete. */
export interface RecordedRequest {
  /** 1 for the first request. */
  ordinal: number;
  method: string;
  /** Path and query. */
  url: string;
  rawHeaders: string[];
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** Of the body, hex. */
  sha256: string;
  /** The body as an object; throws SyntaxError when it is no JSON. */
  json(): RequestBody;
  /** What the prompt cache bills; the request counts as seen by the cache from the first call on. */
  usage(): InputUsage;
  /** `cut`: the script ended it early. Stays `open` while the reply is being sent. */
  outcome: 'open' | 'finished' | 'client_closed' | 'cut';
  /** Resolves when the client leaves before the reply's end, with `performance.now()` of that moment. */
  closedByClient: Promise<number>;
}

export type Script = (request: RecordedRequest) => Reply;

export interface Upstream {
  /** `http://127.0.0.1:<port>` */
  url: string;
  requests: RecordedRequest[];
  /** May be replaced at any time; it answers the requests that come after. */
  script: Script;
  /** The requests, as soon as there are so many; throws after `withinMs` (default 60,000). */
  waitFor(count: number, withinMs?: number): Promise<RecordedRequest[]>;
  /** Drops every connection and frees the port. */
  close(): Promise<void>;
}

/**
 * Starts an HTTP server on a free loopback port that records each request and replies by script.
 *
 * @example
 * const upstream = await startUpstream(answer({ text: 'Hi.' }));
 * const [request] = await upstream.waitFor(1);
 */
export async function startUpstream(script: Script = answer({ text: 'Hello.' })): Promise<Upstream> {
  const cache = new PromptCache();
  const waiting = new Set<() => void>();

  const server = createServer(async (incoming, response) => {
    const body = await readBody(incoming);
    if (!body) return;
    const request = record(incoming, response, body, upstream.requests.length + 1, cache);
    upstream.requests.push(request);
    for (const check of waiting) check();
    await reply(replyOf(upstream.script, request), request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const upstream: Upstream = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    script,
    waitFor: (count, withinMs = 60_000) =>
      new Promise((resolve, reject) => {
        const settle = (act: () => void) => {
          clearTimeout(timer);
          waiting.delete(check);
          act();
        };
        const check = () => {
          if (upstream.requests.length >= count) settle(() => resolve(upstream.requests));
        };
        const timer = setTimeout(() => {
          const got = upstream.requests.map(({ method, url }) => `${method} ${url}`).join(', ');
          settle(() => reject(new Error(`expected ${count} requests within ${withinMs} ms, got [${got}]`)));
        }, withinMs);
        waiting.add(check);
        check();
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return upstream;
}

/** Undefined when the client leaves in the middle of it. */
async function readBody(incoming: IncomingMessage): Promise<Buffer | undefined> {
  try {
    return Buffer.concat(await incoming.toArray());
  } catch {
    // A body that broke off is no request; the client that broke it is who the test asks.
    return undefined;
  }
}

function record(
  incoming: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  ordinal: number,
  cache: PromptCache,
): RecordedRequest {
  let usage: InputUsage | undefined;
  const { promise, resolve } = Promise.withResolvers<number>();
  const request: RecordedRequest = {
    ordinal,
    method: incoming.method as string,
    url: incoming.url as string,
    rawHeaders: incoming.rawHeaders,
    headers: incoming.headers,
    body,
    sha256: createHash('sha256').update(body).digest('hex'),
    json: () => JSON.parse(body.toString()),
    usage: () => {
      usage ??= cache.record(request.json());
      return usage;
    },
    outcome: 'open',
    closedByClient: promise,
  };
  response.once('close', () => {
    if (request.outcome !== 'open') return;
    request.outcome = response.writableFinished ? 'finished' : 'client_closed';
    if (request.outcome === 'client_closed') resolve(performance.now());
  });
  return request;
}

/** A script that throws answers 500 with its message, so that the fault shows where the test looks. */
function replyOf(script: Script, request: RecordedRequest): Reply {
  try {
    return script(request);
  } catch (error) {
    return apiError(500, 'api_error', `the upstream's script failed: ${error}`);
  }
}

async function reply(
  { status, headers, chunks, cutAfter }: Reply,
  request: RecordedRequest,
  response: ServerResponse,
): Promise<void> {
  const closed = new AbortController();
  const left = new Promise<void>((resolve) => closed.signal.addEventListener('abort', () => resolve()));
  response.once('close', () => closed.abort());
  response.sendDate = false;

  const writeHead = () => {
    if (!response.headersSent) response.writeHead(status, headers.flat());
  };
  for (const chunk of chunks) {
    if (Buffer.isBuffer(chunk)) {
      writeHead();
      await new Promise<void>((resolve) => response.write(chunk, () => resolve()));
    } else if (typeof chunk === 'function') {
      await Promise.race([chunk(), left]);
    } else {
      // Only the client's leaving ends a pause early, and the next line ends the reply then.
      await sleep(chunk.waitMs, undefined, { signal: closed.signal }).catch(() => {});
    }
    if (response.destroyed) return;
  }

  if (cutAfter === 'silence') return;
  writeHead();
  if (cutAfter !== 'reset') {
    response.end();
    return;
  }
  request.outcome = 'cut';
  response.socket?.resetAndDestroy();
}
