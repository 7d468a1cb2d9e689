import { describe, expect, test } from '@jest/globals';
import { SpanDelivery } from '@loom/shared/span-delivery.ts';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { TracerProvider } from '@opentelemetry/sdk-trace';

const TAKEN = { code: ExportResultCode.SUCCESS };
const REFUSED = { code: ExportResultCode.FAILED, error: new Error('no collector') };

/** A delivery to a collector that answers when it is told to, and a way to end so many spans. */
function open(maxQueueSize = 10) {
  const waiting: ((result: ExportResult) => void)[] = [];
  const batching = { maxQueueSize, maxExportBatchSize: 2, scheduledDelayMillis: 60_000 };
  const exporter = {
    export: (_: unknown, done: (result: ExportResult) => void) => void waiting.push(done),
    shutdown: async () => {},
  };
  const delivery = new SpanDelivery(exporter, batching);
  const tracer = new TracerProvider({ spanProcessors: [delivery] }).getTracer('test');
  return {
    delivery,
    waiting,
    end(count: number) {
      for (let at = 0; at < count; at += 1) tracer.startSpan('span').end();
    },
    answer(result: ExportResult) {
      for (const done of waiting.splice(0)) done(result);
    },
  };
}

describe('SpanDelivery', () => {
  test('says that all is sent when the collector has taken it, and not before', async () => {
    const { delivery, end, waiting, answer } = open();
    end(1);

    let isSent: boolean | undefined;
    const flushed = delivery.flush().then((sent) => {
      isSent = sent;
    });
    await Promise.resolve();
    const before = [waiting.length, isSent];
    answer(TAKEN);
    await flushed;

    expect([before, isSent]).toEqual([[1, undefined], true]);
  });

  test('waits for what a full batch had sent on its way by itself', async () => {
    const { delivery, end, waiting, answer } = open();
    end(2);
    expect(waiting).toHaveLength(1);

    const flushed = delivery.flush();
    answer(REFUSED);

    expect(await flushed).toBe(false);
  });

  test('says once that spans were refused, and that the next ones have arrived', async () => {
    const { delivery, end, answer } = open();
    const flush = (result: ExportResult) => {
      end(1);
      const flushed = delivery.flush();
      answer(result);
      return flushed;
    };

    expect([await flush(REFUSED), await flush(TAKEN), await flush(TAKEN)]).toEqual([false, true, true]);
  });

  test('says that spans are lost for which the queue had no room', async () => {
    const { delivery, end, answer } = open(3);
    // The first two are under way, three wait.
    end(7);

    const flushed = delivery.flush();
    answer(TAKEN);

    expect(await flushed).toBe(false);
  });
});
