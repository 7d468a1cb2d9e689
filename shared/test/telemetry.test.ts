import { describe, expect, jest, test } from '@jest/globals';
import {
  contextOf,
  flushTelemetry,
  isTelemetryOn,
  shutdownTelemetry,
  startOwnSpan,
  startSpan,
  traceparentOf,
  tracestateOf,
  untraced,
  useTelemetry,
} from '@loom/shared/telemetry.ts';
import { findTraceParent } from '@loom/shared/trace-context.ts';
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { suppressTracing } from '@opentelemetry/core';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describe('contextOf', () => {
  test('is the remote parent that a traceparent names, with its state', () => {
    expect(trace.getSpanContext(contextOf(TRACEPARENT))).toEqual({
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      spanId: '00f067aa0ba902b7',
      traceFlags: 1,
      isRemote: true,
    });
    expect(trace.getSpanContext(contextOf(TRACEPARENT, 'a=1,b=2'))?.traceState?.serialize()).toBe('a=1,b=2');
  });

  test.each([undefined, '', 'garbage', '00-00000000000000000000000000000000-00f067aa0ba902b7-01'])(
    'is the root for %j',
    (traceparent) => {
      expect(contextOf(traceparent, 'a=1')).toBe(ROOT_CONTEXT);
    },
  );
});

describe('startSpan without an SDK', () => {
  test('passes the identity of its parent on', () => {
    const span = startSpan('send', {}, contextOf(TRACEPARENT, 'a=1'));

    expect(traceparentOf(span)).toBe(TRACEPARENT);
    expect(tracestateOf(span)).toBe('a=1');
    expect(span.isRecording()).toBe(false);
  });

  test('has an identity of its own without a parent', () => {
    const first = traceparentOf(startSpan('send', {}, ROOT_CONTEXT));
    const second = traceparentOf(startSpan('send', {}, ROOT_CONTEXT));

    expect(findTraceParent(first)?.flags).toBe(1);
    expect(findTraceParent(second)?.traceId).not.toBe(findTraceParent(first)?.traceId);
    expect(tracestateOf(startSpan('send', {}, ROOT_CONTEXT))).toBeUndefined();
  });
});

describe('startOwnSpan', () => {
  test('has an identity of its own without an SDK, in its parent’s trace, sampled whatever that was', () => {
    const parent = contextOf(TRACEPARENT.replace(/01$/, '00'));
    const spans = [1, 2].map(() => startOwnSpan('loom', {}, parent).spanContext());

    expect(new Set([...spans.map(({ spanId }) => spanId), '00f067aa0ba902b7']).size).toBe(3);
    expect(spans.map(({ traceId, traceFlags }) => [traceId, traceFlags])).toEqual([
      ['4bf92f3577b34da6a3ce929d0e0e4736', 1],
      ['4bf92f3577b34da6a3ce929d0e0e4736', 1],
    ]);
  });

  test('begins a trace without a parent, which what descends from it passes on', () => {
    const span = startOwnSpan('loom', {}, ROOT_CONTEXT);

    expect(findTraceParent(traceparentOf(span))?.flags).toBe(1);
    expect(traceparentOf(startSpan('send', {}, trace.setSpan(ROOT_CONTEXT, span)))).toBe(traceparentOf(span));
  });
});

describe('startSpan with an SDK', () => {
  test('records a child, and where tracing is suppressed passes the identity of its parent on', () => {
    const exporter = new InMemorySpanExporter();
    const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
    trace.setGlobalTracerProvider(provider);
    try {
      const span = startSpan('send', {}, contextOf(TRACEPARENT));
      expect(span.isRecording()).toBe(true);
      expect(span.spanContext().traceId).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
      expect(span.spanContext().spanId).not.toBe('00f067aa0ba902b7');

      expect(traceparentOf(startSpan('send', {}, suppressTracing(contextOf(TRACEPARENT))))).toBe(TRACEPARENT);
    } finally {
      trace.disable();
    }
  });
});

describe('isTelemetryOn', () => {
  test.each([
    [{}, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: '' }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, true],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_SDK_DISABLED: 'true' }, false],
  ])('for %j is %s', (environment, expected) => {
    expect(isTelemetryOn(environment)).toBe(expected);
  });
});

describe('untraced', () => {
  test('makes no spans of what it runs, and leaves log lines in their trace', () => {
    const exporter = new InMemorySpanExporter();
    const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
    const manager = new AsyncLocalStorageContextManager().enable();
    trace.setGlobalTracerProvider(provider);
    context.setGlobalContextManager(manager);
    try {
      const isRecorded = () => trace.getTracer('ioredis').startSpan('xack').isRecording();

      const [inside, active] = context.with(contextOf(TRACEPARENT), () =>
        untraced(() => [isRecorded(), trace.getActiveSpan()?.spanContext().traceId] as const),
      );

      expect([inside, active, isRecorded()]).toEqual([false, '4bf92f3577b34da6a3ce929d0e0e4736', true]);
    } finally {
      trace.disable();
      context.disable();
    }
  });
});

describe('flushTelemetry', () => {
  test('says whether the spans have arrived: where nothing is exported they have not', async () => {
    expect(await flushTelemetry()).toBe(false);

    useTelemetry({ flush: async () => true, shutdown: async () => {} });

    expect(await flushTelemetry()).toBe(true);
  });
});

describe('shutdownTelemetry', () => {
  test('ends what was started, and does not mind its failing', async () => {
    let ended = 0;
    const shutdown = () => {
      ended += 1;
      return Promise.reject(new Error('no collector'));
    };
    useTelemetry({ flush: async () => false, shutdown });

    expect([await shutdownTelemetry(), await shutdownTelemetry()]).toEqual([false, false]);
    expect(ended).toBe(1);
  });

  test('says whether the last spans have arrived', async () => {
    useTelemetry({ flush: async () => true, shutdown: async () => {} });

    expect(await shutdownTelemetry()).toBe(true);
  });

  test('waits 3 s at most', async () => {
    const never = () => new Promise<never>(() => {});
    useTelemetry({ flush: never, shutdown: never });
    jest.useFakeTimers();
    try {
      const ended = jest.fn();
      void shutdownTelemetry().then(ended);

      await jest.advanceTimersByTimeAsync(2_999);
      expect(ended).not.toHaveBeenCalled();
      await jest.advanceTimersByTimeAsync(1);
      expect(ended).toHaveBeenCalledWith(false);
    } finally {
      jest.useRealTimers();
    }
  });
});
