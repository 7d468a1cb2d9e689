import { ExportResultCode } from '@opentelemetry/core';
import { BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace';
import { lossCounting, lostSoFar } from './export-losses.ts';

type Batching = Pick<
  ConstructorParameters<typeof BatchSpanProcessor>[0],
  'maxQueueSize' | 'maxExportBatchSize' | 'scheduledDelayMillis'
>;

/** The exporter refuses what is beyond 30 batches at once, and what it refuses is lost. */
const MAX_HANDED = 16;

/** Sends spans in batches, and can say whether they have arrived; the SDK's own flush forgets what is under way. */
export class SpanDelivery extends BatchSpanProcessor {
  readonly #underWay: ReadonlySet<Promise<void>>;
  #lostBefore = lostSoFar();

  constructor(exporter: SpanExporter, batching: Batching) {
    const underWay = new Set<Promise<void>>();
    super({ ...batching, selfObsMeterProvider: lossCounting, exporter: following(exporter, underWay) });
    this.#underWay = underWay;
  }

  /**
   * Sends what waits, and waits for what is under way. Resolves to whether nothing was lost since the last flush, log
   * records included; takes as long as the exporter tries, and never rejects.
   */
  async flush(): Promise<boolean> {
    await Promise.allSettled([this.forceFlush(), ...this.#underWay]);
    const lost = lostSoFar();
    const isSent = lost === this.#lostBefore;
    this.#lostBefore = lost;
    return isSent;
  }
}

/**
 * Tells what is under way, and hands over one batch in each turn of the event loop: to write one takes the thread, and a
 * flush asks for all that wait.
 */
function following(exporter: SpanExporter, underWay: Set<Promise<void>>): SpanExporter {
  const waiting: (() => void)[] = [];
  let handed = 0;
  let isPausing = false;
  const next = () => {
    if (isPausing || handed >= MAX_HANDED) return;
    const hand = waiting.shift();
    if (!hand) return;
    handed++;
    isPausing = true;
    setImmediate(() => {
      isPausing = false;
      next();
    });
    hand();
  };
  return {
    export(spans, done) {
      const { promise, resolve } = Promise.withResolvers<void>();
      underWay.add(promise);
      const end: typeof done = (result) => {
        // Only the first word counts.
        if (!underWay.delete(promise)) return;
        handed--;
        done(result);
        resolve();
        next();
      };
      waiting.push(() => {
        try {
          exporter.export(spans, end);
        } catch (error) {
          // Nobody stands behind it in that turn: it would end the process.
          end({ code: ExportResultCode.FAILED, error: error as Error });
        }
      });
      next();
    },
    shutdown: () => exporter.shutdown(),
  };
}
