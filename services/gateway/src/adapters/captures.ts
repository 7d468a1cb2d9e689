import type { DataOf, Draft } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { Context } from '@opentelemetry/api';
import type { AnswerBlocks } from '../core/answer-blocks.ts';
import { type CaptureOptions, captureExchange } from '../core/capture.ts';
import type { ReadRequest } from '../core/messages-request.ts';
import type { EventPublisher } from './event-publisher.ts';
import type { Leisure } from './leisure.ts';
import type { Metrics } from './metrics.ts';

/** Each that waits holds a request's body. */
const MAX_HELD_BYTES = 67_108_864;
const MAX_UNDER_WAY = 1_024;

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
  readonly #leisure: Leisure;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #underWay = new Set<Promise<void>>();
  #heldBytes = 0;

  constructor(
    options: CaptureOptions,
    {
      publisher,
      leisure,
      metrics,
      log,
    }: { publisher: EventPublisher; leisure: Leisure; metrics: Metrics; log: Logger },
  ) {
    this.#options = options;
    this.#publisher = publisher;
    this.#leisure = leisure;
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
    const heldBytes = capturable.read.tree?.bytes.length ?? 0;
    if (this.#underWay.size >= MAX_UNDER_WAY || this.#heldBytes + heldBytes > MAX_HELD_BYTES) {
      this.#metrics.captures.add(1, { outcome: 'dropped' });
      return;
    }
    this.#heldBytes += heldBytes;
    const { promise, resolve } = Promise.withResolvers<Draft | undefined>();
    const captured = promise.then((draft) => {
      this.#heldBytes -= heldBytes;
      return draft && this.#publish(draft, context);
    });
    const ended = captured.finally(() => this.#underWay.delete(ended));
    this.#underWay.add(ended);
    this.#leisure.add(() => this.#capture(capturable, resolve));
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  *#capture(
    { read, output, exchange, subject }: Capturable,
    done: (draft: Draft | undefined) => void,
  ): Generator<void, void> {
    let data: DataOf<'exchange.captured'>;
    try {
      data = { ...(yield* captureExchange(read.tree, output, this.#options)), ...exchange };
    } catch (error) {
      this.#metrics.captures.add(1, { outcome: 'failed' });
      this.#log.warn('an exchange could not be captured', { requestId: exchange.requestId, error });
      done(undefined);
      return;
    }
    if (data.truncated) this.#metrics.capturesTruncated.add(1);
    done({ type: 'exchange.captured', subject, data });
  }

  async #publish(draft: Draft, context: Context): Promise<void> {
    // Nobody waits for it, and it is too large to be kept.
    const outcome = await this.#publisher.publishOrDrop(draft, context).then(
      () => 'published',
      () => 'dropped',
    );
    this.#metrics.captures.add(1, { outcome });
  }
}
