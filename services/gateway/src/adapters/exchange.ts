import type { IncomingMessage } from 'node:http';
import { editAttributes } from '@loom/shared/edit-attributes.ts';
import type { CaptureMode, DataOf, EditOutcome, ExchangeTrace } from '@loom/shared/event.ts';
import { ATTRIBUTE } from '@loom/shared/telemetry.ts';
import { type Attributes, type Context, type Span, SpanStatusCode } from '@opentelemetry/api';
import type { Answer } from '../core/answer.ts';
import { type End, type EndReason, endOf } from '../core/end-reason.ts';
import { type Attempt, answerFacts, requestFacts } from '../core/exchange-facts.ts';
import type { Headers } from '../core/identity.ts';
import type { Placed, ReadRequest } from '../core/messages-request.ts';
import type { PlacedTrace } from '../core/place-trace.ts';
import { lengthOf } from '../core/splice.ts';
import { BodySha256 } from './body-sha256.ts';
import type { Captures } from './captures.ts';
import type { Staged } from './edit-stage.ts';
import type { EventPublisher } from './event-publisher.ts';
import type { Leisure } from './leisure.ts';
import { type Metrics, recordQuota } from './metrics.ts';
import { compactionAttributes, type RequestSpan, startRequestSpan } from './request-span.ts';
import { ResponseObserver } from './response-observer.ts';

export interface ExchangeStart {
  requestId: string;
  gateway: string;
  capture: CaptureMode;
  path: string;
  headers: Headers;
  read: ReadRequest;
  placed: Placed;
  /** Finds the request's place in its trace. */
  findPlace: () => PlacedTrace;
  model: string | null;
  bytesIn: number;
  arrival: Arrival;
  upstream: { address: string; port: number };
}

/** When a request was there, its body read: by the calendar, and by the clock that durations count on. */
export interface Arrival {
  at: Date;
  ms: number;
}

/** A longer body is hashed when nobody else needs the thread, bytes. */
const MAX_HASHED_AT_ONCE_BYTES = 131_072;
/** By then it is on its way, and a prompt answer has begun, milliseconds. */
const HASH_AFTER_MS = 10;

/** What went upstream, as it is told of. */
type Sent = Omit<Staged, 'lost'> & { sha256: BodySha256 };

/** What is begun only when it is asked for. */
type Opened = RequestSpan & Pick<PlacedTrace, 'ownsBlock'>;

/** One request with its response: its span, its events, and its one end. */
export class Exchange {
  readonly requestId: string;
  readonly #start: ExchangeStart;
  readonly #publisher: EventPublisher;
  readonly #captures: Captures;
  readonly #metrics: Metrics;
  #begun: Opened | undefined;
  readonly #leisure: Leisure;
  #observer: ResponseObserver | undefined;
  #response: IncomingMessage | undefined;
  #firstByteMs: number | null = null;
  #firstContentMs: number | null = null;
  #isEnded = false;
  #isForwarded = false;
  #forwardedAfterMs = 0;
  #untold: (() => void) | undefined;
  readonly #told = Promise.withResolvers<void>();

  constructor(
    start: ExchangeStart,
    {
      publisher,
      captures,
      metrics,
      leisure,
    }: { publisher: EventPublisher; captures: Captures; metrics: Metrics; leisure: Leisure },
  ) {
    this.#start = start;
    this.#publisher = publisher;
    this.#captures = captures;
    this.#metrics = metrics;
    this.#leisure = leisure;
    this.requestId = start.requestId;
  }

  /** The request span's context. */
  get context(): Context {
    return this.#opened.context;
  }

  /** What each of its events descends from. */
  readonly parent = () => this.context;

  get trace(): ExchangeTrace {
    return this.#opened.trace;
  }

  /** Whether the request's metadata is about its own prompt. */
  get ownsBlock(): boolean {
    return this.#opened.ownsBlock;
  }

  get #span(): Span {
    return this.#opened.span;
  }

  /** Begun, as of the request's arrival, when somebody first asks for it: a request that nobody edits is gone by then. */
  get #opened(): Opened {
    this.#begun ??= this.#open();
    return this.#begun;
  }

  #open(): Opened {
    const { placed, read, headers, findPlace, path, arrival, bytesIn } = this.#start;
    const place = findPlace();
    const attributes = {
      [ATTRIBUTE.requestId]: this.requestId,
      [ATTRIBUTE.requestClass]: placed.class,
      [ATTRIBUTE.requestBytes]: bytesIn,
      [ATTRIBUTE.metadataBlocks]: read.metadataBlocks,
      [ATTRIBUTE.profile]: placed.profile,
      ...(read.session !== undefined && {
        [place.origin === 'none' ? ATTRIBUTE.looseSessionId : ATTRIBUTE.sessionId]: read.session,
      }),
      ...compactionAttributes(headers, placed.class),
    };
    this.#metrics.requests.add(1, { class: placed.class, profile: placed.profile });
    this.#metrics.activeExchanges.add(1);
    return { ...startRequestSpan(place, path, attributes, arrival.ms), ownsBlock: place.ownsBlock };
  }

  /** Resolves when its end has been told. */
  get ended(): Promise<void> {
    return this.#told.promise;
  }

  /** The request goes upstream now, and is told of once it is on its way. Only the first call counts. */
  forwarded(staged: Omit<Staged, 'lost'>): void {
    if (this.#isForwarded) return;
    this.#isForwarded = true;
    this.#forwardedAfterMs = performance.now() - this.#start.arrival.ms;
    const forwardedAt = Date.now();
    const { body, sha256 = new BodySha256(body) } = staged;
    this.#untold = () => this.#tellForwarded({ ...staged, sha256 }, new Date(forwardedAt).toISOString());
    if (lengthOf(body) > MAX_HASHED_AT_ONCE_BYTES)
      setTimeout(() => this.#leisure.add(() => this.#hashAndCatchUp(sha256)), HASH_AFTER_MS);
    // By then Node has handed it to a connection that is open.
    else setImmediate(() => this.#catchUp());
  }

  /** The end does not wait for it: what is not hashed by then is hashed at once. */
  *#hashAndCatchUp(sha256: BodySha256): Generator<void, void> {
    while (this.#attempt('bodySha256', () => sha256.step())) yield;
    this.#catchUp();
  }

  /** Tells what is still to be told of the request, before anything is told of its answer. */
  #catchUp(): void {
    const tell = this.#untold;
    this.#untold = undefined;
    if (tell) this.#attempt('forwarded', tell);
  }

  #tellForwarded(staged: Sent, forwardedAt: string): void {
    this.#metrics.overhead.record(this.#forwardedAfterMs / 1_000);
    const bytesOut = lengthOf(staged.body);
    this.#publisher.publish(
      () => ({ type: 'request.forwarded', subject: this.#subject, data: this.#forwardedData(staged, forwardedAt) }),
      this.parent,
    );
    this.#span.setAttributes({
      [ATTRIBUTE.forwardedBytes]: bytesOut,
      [ATTRIBUTE.replayedEdits]: staged.replayed,
      [ATTRIBUTE.heldMs]: staged.heldMs,
    });
    this.#metrics.metadataBlocks.add(this.#start.read.metadataBlocks);
    for (const edit of staged.edits) this.#explain(edit);
  }

  /** The upstream answers; `chunk` then takes the body along. */
  responded(response: IncomingMessage): void {
    this.#response = response;
    this.#observer = new ResponseObserver(response.headers, this.#captures.isOn);
    this.#observer.answer.onContent = () => {
      this.#firstContentMs = this.#elapsedMs();
    };
    this.#span.setAttribute(ATTRIBUTE.httpStatus, response.statusCode ?? 0);
  }

  /** Whether its answer has begun and not ended. */
  get isRelaying(): boolean {
    return this.#response !== undefined && !this.#isEnded;
  }

  /** Whether a piece of the body is the last one of a message that is not streamed. */
  isWholeWith(chunk: Buffer): boolean {
    return this.#observer?.isWholeWith(chunk) ?? false;
  }

  /**
   * Looks at a piece of the body before the client gets it: an answer that is complete is published first, so that
   * nothing the client saw completed is lost with this process.
   */
  chunk(chunk: Buffer): void {
    this.#firstByteMs ??= this.#elapsedMs();
    if (this.#observer?.write(chunk)) void this.end('complete');
  }

  /**
   * The exchange is over. Only the first call counts.
   *
   * @returns when its event is on its way; undefined where it is already, which is wherever nothing has to be decoded
   */
  end(reason: EndReason, errorType: string | null = null): Promise<void> | undefined {
    if (this.#isEnded) return undefined;
    this.#isEnded = true;
    const understood = this.#observer?.end(reason === 'complete');
    if (understood) return understood.then(() => this.#finish({ reason, errorType }));
    this.#finish({ reason, errorType });
    return undefined;
  }

  /** The client's last byte waits for this: only what must not be lost with this process is done at once. */
  #finish(end: End): void {
    this.#catchUp();
    const answer = this.#observer?.answer;
    const status = this.#response ? (this.#response.statusCode ?? 0) : null;
    const isReadAlong = this.#observer?.blindness === undefined;
    const { reason: endReason, errorType } = endOf(end, answer, status, isReadAlong);
    const data = this.#responseData(answer, status);
    const attributes: Attributes = {
      [ATTRIBUTE.endReason]: endReason,
      [ATTRIBUTE.responseBytes]: data.bytes,
      ...(data.upstreamRequestId !== null && { [ATTRIBUTE.anthropicRequestId]: data.upstreamRequestId }),
    };
    const failure = endReason === 'complete' ? undefined : { endReason, errorType };
    if (!failure) this.#publisher.publishNow({ type: 'response.completed', subject: this.#subject, data }, this.parent);
    else {
      const anchor = this.#isForwarded ? undefined : this.#anchor;
      const failed = { ...data, ...failure, ...(anchor && { anchor }) };
      this.#publisher.publishNow({ type: 'response.failed', subject: this.#subject, data: failed }, this.parent);
      attributes[ATTRIBUTE.errorType] = errorType ?? endReason;
      if (endReason !== 'client_closed')
        this.#span.setStatus({ code: SpanStatusCode.ERROR, message: errorType ?? endReason });
    }
    const endedMs = performance.now();
    this.#leisure.add(() => {
      // The span that fills a batch has the batch written out: other ends would wait for that.
      this.#span.setAttributes(attributes).end(endedMs);
      this.#attempt('counts', () => this.#account({ ...data, ...failure }));
      this.#told.resolve();
      return undefined;
    });
  }

  /** Counts it, and has it captured. */
  #account(ended: DataOf<'response.completed'> & Partial<DataOf<'response.failed'>>): void {
    const { endReason = 'complete' } = ended;
    this.#metrics.activeExchanges.add(-1);
    this.#metrics.exchangesEnded.add(1, { reason: endReason });
    this.#metrics.tally.handled += 1;
    if (endReason !== 'complete' && endReason !== 'client_closed') this.#metrics.tally.failed += 1;
    if (this.#observer?.blindness) this.#metrics.unobserved.add(1, { reason: this.#observer.blindness });
    recordQuota(this.#metrics, ended.rateLimits);
    if (this.#isForwarded) {
      this.#metrics.recordCall(ended, this.#forwardedAfterMs);
      const { read } = this.#start;
      const output = this.#observer?.answer.blocks;
      this.#captures.take({ read, output, exchange: this.#facts(), subject: this.#subject }, this.context);
    }
  }

  #forwardedData(staged: Sent, forwardedAt: string): DataOf<'request.forwarded'> {
    const { body, sha256, replayed, edits, heldMs } = staged;
    const { read, headers, bytesIn, capture, arrival, upstream } = this.#start;
    const anchor = this.#anchor;
    const bodySha256 = this.#attempt('bodySha256', () => sha256.hex);
    return {
      ...this.#facts(),
      bytesIn,
      bytesOut: lengthOf(body),
      replayed,
      edits,
      ...(anchor && { anchor }),
      heldMs,
      capture,
      startedAt: arrival.at.toISOString(),
      forwardedAt,
      upstream,
      ...(bodySha256 && { bodySha256 }),
      ...requestFacts(read, headers, this.#attempt),
    };
  }

  #responseData(answer: Answer | undefined, status: number | null): DataOf<'response.completed'> {
    return {
      ...this.#facts(),
      ...answerFacts(answer, this.#response?.headers ?? {}, this.#attempt),
      status,
      startedAt: this.#start.arrival.at.toISOString(),
      firstByteMs: this.#firstByteMs,
      firstContentMs: this.#firstContentMs,
      durationMs: this.#elapsedMs(),
      bytes: this.#observer?.bytes ?? 0,
    };
  }

  /** Counts what became of a rewriter's edits, and publishes it where they did not come. */
  #explain(edit: EditOutcome): void {
    const { rewriter, outcome, waitedMs, reason } = edit;
    this.#metrics.edits.add(1, { rewriter, outcome });
    this.#metrics.stage.record(waitedMs / 1_000, { rewriter, outcome });
    this.#span.setAttributes(editAttributes(edit));
    if (outcome === 'applied' || outcome === 'none') return;
    const data = { requestId: this.requestId, rewriter, outcome, waitedMs, ...(reason !== undefined && { reason }) };
    this.#publisher.publish({ type: 'rewriter.bypassed', subject: this.#subject, data }, this.parent);
  }

  /** A rewriter whose edits cannot be made up for did not get to make them. */
  identityLost(rewriter: string, labels: string[], waitedMs: number, reason: string): void {
    this.#catchUp();
    const data = { requestId: this.requestId, rewriter, labels, waitedMs, reason };
    this.#publisher.publish({ type: 'identity.lost', subject: this.#subject, data }, this.parent);
  }

  readonly #attempt: Attempt = (part, make) => {
    try {
      return make();
    } catch {
      // Left out of the event, and counted.
      this.#metrics.factsFailed.add(1, { part });
      return undefined;
    }
  };

  #elapsedMs(): number {
    return Math.round(performance.now() - this.#start.arrival.ms);
  }

  get #anchor(): string | undefined {
    const { typed, anchors } = this.#start.placed;
    return typed && anchors.get(typed);
  }

  get #subject(): string {
    return this.#start.read.session ?? '';
  }

  #facts() {
    const { requestId, gateway, placed, model } = this.#start;
    return { requestId, gateway, class: placed.class, profile: placed.profile, model, trace: this.trace };
  }
}
