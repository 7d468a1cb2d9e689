import { type Attributes, createNoopMeter, type MeterProvider } from '@opentelemetry/api';

let lost = 0;

/** Spans and log records that will never arrive: too many waited, or the collector did not take them. */
export function lostSoFar(): number {
  return lost;
}

const processed = {
  add(count: number, attributes?: Attributes) {
    if (attributes?.['error.type'] !== undefined) lost += count;
  },
};

/**
 * Where the SDK's batch processors count what becomes of what they are given (`otel.sdk.processor.*.processed`, an
 * `error.type` where it is lost). They count nothing else with a counter, and say nothing of it otherwise.
 * https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/
 */
export const lossCounting: MeterProvider = {
  getMeter: () => Object.assign(createNoopMeter(), { createCounter: () => processed }),
};
