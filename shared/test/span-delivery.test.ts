import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { SpanDelivery } from '@loom/shared/span-delivery.ts';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { TracerProvider } from '@opentelemetry/sdk-trace';

const TAKEN = { code: ExportResultCode.SUCCESS };
const REFUSED = { code: ExportResultCode.FAILED, error: new Error('no collector') };

/** A delivery to a collector that answers when it is told to, and a way to end so many spans. */
function open({
  maxQueueSize = 10,
  maxExportBatchSize = 2,
  fails = (_: number): boolean => false,
  failsOnceAnswered = false,
} = {}) {
  let batches = 0;
  const waiting: ((result: ExportResult) => void)[] = [];
  const batching = { maxQueueSize, maxExportBatchSize, scheduledDelayMillis: 60_000 };
  const exporter = {
    export(_: unknown, done: (result: ExportResult) => void) {
      batches += 1;
      if (failsOnceAnswered) done(TAKEN);
      if (failsOnceAnswered || fails(batches)) throw new TypeError('a bug of the exporter');
      waiting.push(done);
    },
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
    const flush = async (result: ExportResult) => {
      end(1);
      const flushed = delivery.flush();
      await nextTurn();
      answer(result);
      return flushed;
    };

    expect([await flush(REFUSED), await flush(TAKEN), await flush(TAKEN)]).toEqual([false, true, true]);
  });

  test('says that spans are lost for which the queue had no room', async () => {
    const { delivery, end, answer } = open({ maxQueueSize: 3 });
    // The first two are under way, three wait.
    end(7);

    const flushed = delivery.flush();
    for (let turn = 0; turn < 3; turn += 1) {
      answer(TAKEN);
      await nextTurn();
    }

    expect(await flushed).toBe(false);
  });

  test('says that spans are lost which the exporter could not write, and goes on with the next ones', async () => {
    const { delivery, end, waiting, answer } = open({ fails: (batch) => batch > 1 && batch < 4 });
    end(10);

    const flushed = delivery.flush();
    for (let turn = 0; turn < 6; turn += 1) await nextTurn();
    const handed = waiting.length;
    answer(TAKEN);

    expect([handed, await flushed]).toEqual([3, false]);
  });

  test('takes the first word of an exporter that fails when it has answered', async () => {
    const { delivery, end } = open({ failsOnceAnswered: true });
    end(4);

    expect(await delivery.flush()).toBe(true);
  });

  test('lets others have their turn between two batches, however many wait', async () => {
    const { delivery, end, waiting, answer } = open();
    end(6);

    const flushed = delivery.flush();
    const handed = [waiting.length];
    for (let turn = 0; turn < 3; turn += 1) {
      await nextTurn();
      handed.push(waiting.length);
    }
    answer(TAKEN);

    expect([handed, await flushed]).toEqual([[1, 2, 3, 3], true]);
  });

  test('never has so many under way at once that the exporter would refuse one', async () => {
    const { delivery, end, waiting, answer } = open({ maxQueueSize: 40, maxExportBatchSize: 1 });
    end(40);

    const flushed = delivery.flush();
    const handed: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      for (let turn = 0; turn < 40; turn += 1) await nextTurn();
      handed.push(waiting.length);
      answer(TAKEN);
    }

    expect([handed, await flushed]).toEqual([[16, 16, 8], true]);
  });
});
