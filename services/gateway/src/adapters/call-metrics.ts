import { boundedNames } from '@loom/shared/bounded-names.ts';
import type { DataOf } from '@loom/shared/event.ts';
import { tokensOf } from '@loom/shared/tokens.ts';
import type { Meter } from '@opentelemetry/api';

type Ended = DataOf<'response.completed'> & Partial<Pick<DataOf<'response.failed'>, 'endReason' | 'errorType'>>;

/** Seconds; those of OpenTelemetry's GenAI conventions. */
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKENS = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];
const MAX_MODELS = 50;

/** What each call of the model took, by the names of https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/. */
export function callMetrics(meter: Meter): (ended: Ended, forwardedAfterMs: number) => void {
  const duration = meter.createHistogram('gen_ai.client.operation.duration', {
    unit: 's',
    description: 'From when a call went upstream to its last byte, by model and error',
    advice: { explicitBucketBoundaries: SECONDS },
  });
  const firstChunk = meter.createHistogram('gen_ai.client.operation.time_to_first_chunk', {
    unit: 's',
    description: 'From when a call went upstream to the first byte of its answer',
    advice: { explicitBucketBoundaries: SECONDS },
  });
  const usage = meter.createHistogram('gen_ai.client.token.usage', {
    unit: '{token}',
    description: 'Tokens of a call, by type: input (caches included) and output',
    advice: { explicitBucketBoundaries: TOKENS },
  });
  const tokens = meter.createCounter('loom.tokens', {
    description: 'Tokens by what they are billed as: input, cache_read, cache_write, output',
  });
  const [bounded, boundedErrors] = [boundedNames(MAX_MODELS), boundedNames(MAX_MODELS)];

  return (ended, forwardedAfterMs) => {
    const { model, responseModel, firstByteMs, durationMs, endReason, errorType } = ended;
    const call = {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'anthropic',
      'gen_ai.request.model': bounded(model ?? 'unknown'),
      ...(responseModel && { 'gen_ai.response.model': bounded(responseModel) }),
    };
    const failure = endReason && { 'error.type': boundedErrors(errorType ?? endReason) };
    duration.record(Math.max(0, durationMs - forwardedAfterMs) / 1_000, { ...call, ...failure });
    if (firstByteMs !== null) firstChunk.record(Math.max(0, firstByteMs - forwardedAfterMs) / 1_000, call);
    if (!ended.usage) return;

    const used = tokensOf(ended.usage);
    usage.record(used.prompt, { ...call, 'gen_ai.token.type': 'input' });
    usage.record(used.completion, { ...call, 'gen_ai.token.type': 'output' });
    const { input, cacheRead, cacheWrite, completion } = used;
    const billed = { input, cache_read: cacheRead, cache_write: cacheWrite, output: completion };
    const of = { model: call['gen_ai.response.model'] ?? call['gen_ai.request.model'], class: ended.class };
    for (const [type, count] of Object.entries(billed)) if (count > 0) tokens.add(count, { ...of, type });
  };
}
