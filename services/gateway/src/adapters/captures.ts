import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DataOf } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { Context } from '@opentelemetry/api';
import type { AnswerBlocks } from '../core/answer-blocks.ts';
import { type CaptureOptions, captureExchange } from '../core/capture.ts';
import type { ReadRequest } from '../core/messages-request.ts';
import type { EventPublisher } from './event-publisher.ts';
import type { Metrics } from './metrics.ts';

/** How long a capture keeps the thread to itself, milliseconds. */
const SLICE_MS = 2;
/** Each holds a request's body. */
const MAX_UNDER_WAY = 64;

/** What there is of an exchange to capture. */
export interface Capturable {
  read: ReadRequest;
  output: AnswerBlocks | undefined;
  exchange: Pick<DataOf<'exchange.captured'>, 'requestId' | 'gateway' | 'class' | 'profile' | 'model' | 'trace'>;
  subject: string;
}

/**
 * Publishes what exchanges said, after they ended and never in anybody's way: what Redis does not take at once is
 * dropped and counted, and a capture that fails harms nothing but itself.
 */
export class Captures {
  readonly #options: CaptureOptions;
  readonly #publisher: EventPublisher;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: CaptureOptions, publisher: EventPublisher, metrics: Metrics, log: Logger) {
    this.#options = options;
    this.#publisher = publisher;
    this.#metrics = metrics;
    this.#log = log;
  }

  /** Whether anything is captured at all. */
  get isOn(): boolean {
    return this.#options.mode === 'delta' || this.#options.mode === 'full';
  }

  /** Captures an exchange that has ended; returns at once. */
  take(capturable: Capturable, context: Context): void {
    if (!this.isOn) return;
    if (this.#underWay.size >= MAX_UNDER_WAY) {
      this.#metrics.captures.add(1, { outcome: 'dropped' });
      return;
    }
    const capture = this.#capture(capturable, context).finally(() => this.#underWay.delete(capture));
    this.#underWay.add(capture);
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async #capture({ read, output, exchange, subject }: Capturable, context: Context): Promise<void> {
    // The client's last byte goes out first.
    await nextTurn();
    let data: DataOf<'exchange.captured'>;
    try {
      data = { ...(await this.#build(read, output)), ...exchange };
    } catch (error) {
      this.#metrics.captures.add(1, { outcome: 'failed' });
      this.#log.warn('an exchange could not be captured', { requestId: exchange.requestId, error });
      return;
    }
    if (data.truncated) this.#metrics.capturesTruncated.add(1);
    const draft = { type: 'exchange.captured', subject, data } as const;
    // Nobody waits for it, and it is too large to be kept.
    const outcome = await this.#publisher.publishOrDrop(draft, context).then(
      () => 'published',
      () => 'dropped',
    );
    this.#metrics.captures.add(1, { outcome });
  }

  async #build(read: ReadRequest, output: AnswerBlocks | undefined) {
    const steps = captureExchange(read.tree, output, this.#options);
    for (let sliceMs = performance.now(); ; ) {
      const step = steps.next();
      if (step.done) return step.value;
      if (performance.now() - sliceMs < SLICE_MS) continue;
      await nextTurn();
      sliceMs = performance.now();
    }
  }
}
