import type { IncomingMessage } from 'node:http';
import { ATTRIBUTE, contextOf, type DataOf, type Draft, type EditOutcome, startSpan } from '@loom/shared';
import { type Context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { z } from 'zod';
import { Answer } from '../core/answer.ts';
import type { Placed, ReadRequest } from '../core/messages-request.ts';
import { type BodyParts, lengthOf } from '../core/splice.ts';
import type { EventPublisher } from './event-publisher.ts';
import type { Metrics } from './metrics.ts';
import { ResponseObserver } from './response-observer.ts';

const RequestId = z.string().regex(/^[\x21-\x7e]{1,200}$/);

type Failed = DataOf<'response.failed'>;
export type EndReason = 'complete' | Failed['endReason'];

export interface ExchangeStart {
  requestId: string;
  gateway: string;
  path: string;
  read: ReadRequest;
  placed: Placed;
  model: string | null;
  bytesIn: number;
  /** The trace that the request belongs to: of its block, its header, or its session's newest turn. */
  traceparent: string | undefined;
}

/** One request with its response: its span, its events, and its one end. */
export class Exchange {
  readonly requestId: string;
  /** The request span's context. */
  readonly context: Context;
  readonly #start: ExchangeStart;
  readonly #span: Span;
  readonly #publisher: EventPublisher;
  readonly #metrics: Metrics;
  readonly #startedMs = performance.now();
  #observer: ResponseObserver | undefined;
  #status: number | null = null;
  #upstreamRequestId: string | null = null;
  #firstByteMs: number | null = null;
  #isEnded = false;
  #isForwarded = false;

  constructor(start: ExchangeStart, publisher: EventPublisher, metrics: Metrics) {
    this.#start = start;
    this.#publisher = publisher;
    this.#metrics = metrics;
    this.requestId = start.requestId;
    const { placed, read } = start;
    const attributes = {
      [ATTRIBUTE.httpMethod]: 'POST',
      [ATTRIBUTE.urlPath]: start.path,
      [ATTRIBUTE.requestId]: start.requestId,
      [ATTRIBUTE.requestClass]: placed.class,
      [ATTRIBUTE.requestBytes]: start.bytesIn,
      [ATTRIBUTE.profile]: placed.profile,
      ...(read.session !== undefined && { [ATTRIBUTE.sessionId]: read.session }),
    };
    const parent = contextOf(start.traceparent);
    this.#span = startSpan(`POST ${start.path}`, { kind: SpanKind.SERVER, attributes }, parent);
    this.context = trace.setSpan(parent, this.#span);
    metrics.requests.add(1, { class: placed.class, profile: placed.profile });
    metrics.activeExchanges.add(1);
  }

  /** The request is on its way upstream. Only the first call counts. */
  forwarded(staged: { body: BodyParts; replayed: number; edits: EditOutcome[]; heldMs: number }): void {
    if (this.#isForwarded) return;
    this.#isForwarded = true;
    const { read, bytesIn } = this.#start;
    const anchor = this.#anchor;
    const data: DataOf<'request.forwarded'> = {
      ...this.#facts(),
      bytesIn,
      bytesOut: lengthOf(staged.body),
      metadataBlocks: read.metadataBlocks,
      replayed: staged.replayed,
      edits: staged.edits,
      ...(anchor && { anchor }),
      heldMs: staged.heldMs,
    };
    this.#publish({ type: 'request.forwarded', subject: this.#subject, data });
    this.#metrics.metadataBlocks.add(read.metadataBlocks);
    for (const edit of staged.edits) this.#explain(edit);
  }

  /** The upstream answers; `chunk` then takes the body along. */
  responded(response: IncomingMessage): void {
    const { statusCode = 0, headers } = response;
    this.#status = statusCode;
    this.#upstreamRequestId = RequestId.safeParse(headers['request-id']).data ?? null;
    this.#observer = new ResponseObserver(headers);
    this.#span.setAttribute(ATTRIBUTE.httpStatus, statusCode);
  }

  /**
   * Looks at a piece of the body before the client gets it: an answer that is complete is published first, so that
   * nothing the client saw completed is lost with this process.
   */
  chunk(chunk: Buffer): void {
    this.#firstByteMs ??= Math.round(performance.now() - this.#startedMs);
    if (this.#observer?.write(chunk)) void this.end('complete');
  }

  /** The exchange is over. Only the first call counts. */
  async end(reason: EndReason, errorType: string | null = null): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const understood = this.#observer?.end(reason === 'complete');
    // Not a moment later where nothing is decoded: the client's last byte leaves when the caller goes on.
    if (understood) await understood;
    this.#finish(reason, errorType);
  }

  #finish(reason: EndReason, errorType: string | null): void {
    const answer = this.#observer?.answer;
    const status = this.#status;
    const apiError = answer?.errorType ?? null;
    // A stream that ends without message_stop was cut, whatever HTTP says; an error event is the upstream's own.
    const isUpstreamError = apiError !== null || (status !== null && status >= 400);
    const isCut =
      answer !== undefined &&
      !answer.isComplete &&
      this.#observer?.blindness === undefined &&
      status !== null &&
      status < 300;
    const endReason =
      reason === 'complete' && isUpstreamError
        ? 'upstream_error'
        : reason === 'complete' && isCut
          ? 'upstream_aborted'
          : reason;
    const { parts } = answer ?? new Answer();
    const data: DataOf<'response.completed'> = {
      ...this.#facts(),
      ...parts,
      status,
      upstreamRequestId: this.#upstreamRequestId,
      firstByteMs: this.#firstByteMs,
      durationMs: Math.round(performance.now() - this.#startedMs),
      bytes: this.#observer?.bytes ?? 0,
    };
    if (endReason === 'complete') this.#publishNow({ type: 'response.completed', subject: this.#subject, data });
    else {
      const anchor = this.#isForwarded ? undefined : this.#anchor;
      const failed = { ...data, endReason, errorType: apiError ?? errorType, ...(anchor && { anchor }) };
      this.#publishNow({ type: 'response.failed', subject: this.#subject, data: failed });
      if (endReason !== 'client_closed')
        this.#span.setStatus({ code: SpanStatusCode.ERROR, message: failed.errorType ?? endReason });
      this.#span.setAttribute(ATTRIBUTE.errorType, failed.errorType ?? endReason);
    }
    this.#span.setAttribute(ATTRIBUTE.endReason, endReason);
    this.#span.end();
    this.#metrics.activeExchanges.add(-1);
    this.#metrics.exchangesEnded.add(1, { reason: endReason });
    if (this.#observer?.blindness) this.#metrics.unobserved.add(1, { reason: this.#observer.blindness });
  }

  /** Counts what became of a rewriter's edits, and publishes it where they did not come. */
  #explain({ rewriter, outcome, waitedMs, reason }: EditOutcome): void {
    this.#metrics.edits.add(1, { rewriter, outcome });
    this.#span.setAttribute(`loom.edit.${rewriter}`, outcome);
    if (outcome === 'applied' || outcome === 'none') return;
    const data = { requestId: this.requestId, rewriter, outcome, waitedMs, ...(reason !== undefined && { reason }) };
    this.#publish({ type: 'rewriter.bypassed', subject: this.#subject, data });
  }

  /** A rewriter whose edits cannot be made up for did not get to make them. */
  identityLost(rewriter: string, labels: string[], waitedMs: number, reason: string): void {
    const data = { requestId: this.requestId, rewriter, labels, waitedMs, reason };
    this.#publish({ type: 'identity.lost', subject: this.#subject, data });
  }

  #publish(draft: Draft): void {
    this.#publisher.publish(draft, this.context);
  }

  #publishNow(draft: Draft): void {
    this.#publisher.publishNow(draft, this.context);
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
    return { requestId, gateway, class: placed.class, profile: placed.profile, model };
  }
}
