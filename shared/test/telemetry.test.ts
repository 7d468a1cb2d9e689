import { describe, expect, test } from '@jest/globals';
import {
  contextOf,
  findTraceParent,
  isTelemetryOn,
  onTelemetryShutdown,
  shutdownTelemetry,
  startSpan,
  traceparentOf,
  tracestateOf,
} from '@loom/shared';
import { ROOT_CONTEXT, trace } from '@opentelemetry/api';
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

describe('shutdownTelemetry', () => {
  test('ends what was started, and does not mind its failing', async () => {
    let ended = 0;
    onTelemetryShutdown(() => {
      ended += 1;
      return Promise.reject(new Error('no collector'));
    });

    await expect(shutdownTelemetry()).resolves.toBeUndefined();
    expect(ended).toBe(1);
  });

  test('waits 3 s at most', async () => {
    onTelemetryShutdown(() => new Promise(() => {}));
    const began = performance.now();

    await shutdownTelemetry();

    expect(performance.now() - began).toBeLessThan(3_500);
  });
});
