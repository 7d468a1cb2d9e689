import { hash, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CaptureMode } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import { isSignedWith } from '@loom/shared/metadata.ts';
import { context } from '@opentelemetry/api';
import type { BodyTree } from '../core/body-tree.ts';
import type { AcceptMetadata } from '../core/hook-pieces.ts';
import { findModel } from '../core/identity.ts';
import { type Placed, placeRequest, type ReadRequest, readRequest } from '../core/messages-request.ts';
import { COUNT_TOKENS_PATH } from '../core/paths.ts';
import { type BodyParts, lengthOf, renderParts } from '../core/splice.ts';
import type { ReceivedBody } from './body-reader.ts';
import type { Captures } from './captures.ts';
import type { EditStage, Staged, StageRequest } from './edit-stage.ts';
import type { EventPublisher } from './event-publisher.ts';
import { type Arrival, Exchange } from './exchange.ts';
import type { Leisure } from './leisure.ts';
import type { Metrics } from './metrics.ts';
import type { SessionRecords } from './session-records.ts';
import { TracePlacer } from './trace-placer.ts';
import { Turnstile } from './turnstile.ts';
import type { UpstreamProxy } from './upstream-proxy.ts';

const CLIENT_LEFT = 'the client has left';

const sha256 = (data: string | Uint8Array) => hash('sha256', data);

/** Takes a Messages request through Loom: read, placed, edited, forwarded. Whatever fails here, it is forwarded. */
export class MessagesHandler {
  readonly #gateway: string;
  readonly #capture: CaptureMode;
  readonly #accept: AcceptMetadata;
  readonly #sessions: SessionRecords;
  readonly #placer: TracePlacer;
  readonly #stage: EditStage;
  readonly #publisher: EventPublisher;
  readonly #captures: Captures;
  readonly #leisure: Leisure;
  readonly #proxy: UpstreamProxy;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #active = new Set<Exchange>();
  readonly #turnstile = new Turnstile(() => this.#isRelaying());

  constructor(options: {
    gateway: string;
    capture: CaptureMode;
    hookSecret: string | undefined;
    sessions: SessionRecords;
    stage: EditStage;
    publisher: EventPublisher;
    captures: Captures;
    leisure: Leisure;
    proxy: UpstreamProxy;
    metrics: Metrics;
    log: Logger;
  }) {
    this.#gateway = options.gateway;
    this.#capture = options.capture;
    const secret = options.hookSecret;
    this.#accept = (line) => secret === undefined || isSignedWith(line, secret);
    this.#sessions = options.sessions;
    this.#stage = options.stage;
    this.#publisher = options.publisher;
    this.#captures = options.captures;
    this.#leisure = options.leisure;
    this.#proxy = options.proxy;
    this.#metrics = options.metrics;
    this.#log = options.log;
    this.#placer = new TracePlacer(options.sessions, options.metrics, options.log);
  }

  /** The exchanges that have not ended. */
  get active(): ReadonlySet<Exchange> {
    return this.#active;
  }

  #isRelaying(): boolean {
    for (const exchange of this.#active) if (exchange.isRelaying) return true;
    return false;
  }

  /** Waits until all exchanges have ended, and said so. */
  async ended(): Promise<void> {
    await Promise.all([...this.#active].map((exchange) => exchange.ended));
  }

  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    received: ReceivedBody,
  ): Promise<void> {
    const { bytes } = received;
    const arrival = { at: new Date(), ms: performance.now() };
    const gone = new AbortController();
    let exchange: Exchange | undefined;
    response.once('close', () => {
      // With a reason of its own: without one, each would cost an exception and its stack.
      gone.abort(CLIENT_LEFT);
    });
    await this.#turnstile.pass();
    let body: BodyParts = [bytes];
    let prepared: Prepared | undefined;
    try {
      prepared = await this.#prepare(request, received);
      if (path === COUNT_TOKENS_PATH) {
        await this.#stage.replay(prepared.read, prepared.placed);
        if (prepared.read.tree) body = renderParts(prepared.read.tree);
      } else {
        const recalled = this.#stage.recall(prepared.read, prepared.placed);
        exchange = this.#begin(prepared, request, path, bytes, arrival);
        const staged = await this.#edit(exchange, request, path, bytes, { ...prepared, recalled }, gone.signal);
        body = staged.body;
      }
    } catch (error) {
      // A fault of ours must not cost the user the request.
      body = withoutMetadata(prepared?.read.tree, bytes);
      this.#metrics.stageFailed.add(1);
      this.#log.error('a request is forwarded without edits, after a fault', { requestId: exchange?.requestId, error });
      exchange?.forwarded({ body, replayed: 0, edits: [], heldMs: 0 });
    }
    if (gone.signal.aborted) {
      await exchange?.end('client_closed');
      return;
    }
    this.#proxy.forward(request, response, { body, exchange });
  }

  async #prepare({ headers }: IncomingMessage, { bytes, strings }: ReceivedBody): Promise<Prepared> {
    const read = readRequest(bytes, headers, this.#accept, strings);
    if (!read.tree) this.#metrics.unfollowable.add(1);
    const { session, namedProfile, metadata } = read;
    // A request that says both of itself needs no memory, but for the turns that it may add one to.
    const isKnown = namedProfile !== undefined && metadata?.traceparent !== undefined;
    const record =
      session === undefined ? {} : isKnown ? this.#sessions.peek(session) : await this.#sessions.find(session);
    const placed = placeRequest(read, headers, record, sha256);
    return { read, placed };
  }

  #begin(
    { read, placed }: Prepared,
    { headers }: IncomingMessage,
    path: string,
    bytes: Buffer,
    arrival: Arrival,
  ): Exchange {
    const model = findModel(read.tree);
    const start = {
      requestId: randomUUID(),
      gateway: this.#gateway,
      capture: this.#capture,
      path,
      headers,
      read,
      placed,
      // By then another request of the session may have said more of its turns.
      findPlace: () => this.#placer.place(read, placed, headers),
      model,
      bytesIn: bytes.length,
      arrival,
      upstream: this.#proxy.upstream,
    };
    const exchange = new Exchange(start, {
      publisher: this.#publisher,
      captures: this.#captures,
      metrics: this.#metrics,
      leisure: this.#leisure,
    });
    this.#active.add(exchange);
    void exchange.ended.then(() => this.#active.delete(exchange));
    return exchange;
  }

  async #edit(
    exchange: Exchange,
    request: IncomingMessage,
    path: string,
    bytes: Buffer,
    { read, placed, recalled }: Prepared & Pick<StageRequest, 'recalled'>,
    gone: AbortSignal,
  ): Promise<Staged> {
    const { requestId } = exchange;
    const { headers } = request;
    const staged = await this.#stage.run({ requestId, path, headers, bytes, read, placed, recalled, exchange, gone });
    if (gone.aborted) return staged;
    exchange.forwarded(staged);
    for (const { rewriter, labels, waitedMs, outcome } of staged.lost)
      exchange.identityLost(rewriter, labels, waitedMs, outcome);
    if (this.#log.isDebugEnabled())
      context.with(exchange.context, () => {
        const { session } = read;
        this.#log.debug('forwarded', { requestId, session, class: placed.class, bytes: lengthOf(staged.body) });
      });
    return staged;
  }
}

/** The body after a fault: the metadata stays out of it, unless that is the very thing that fails. */
function withoutMetadata(tree: BodyTree | undefined, bytes: Buffer): BodyParts {
  try {
    return tree ? renderParts(tree) : [bytes];
  } catch {
    // The fault is in the cut itself: the request as it came is better than none.
    return [bytes];
  }
}

interface Prepared {
  read: ReadRequest;
  placed: Placed;
}
