import { derivedSpanId } from '@loom/shared/turn-span.ts';
import { ATTRIBUTE } from './attribute.ts';
import { contentAttributes, lastInput } from './content-attributes.ts';
import { billedModel } from './prices.ts';
import { finishSpan, named, plain, preview, type RenderOptions, showsContent } from './render.ts';
import type { SpanData } from './span-data.ts';
import type { Call } from './turn.ts';
import { usageAttributes } from './usage-attributes.ts';

/** Where a call stands. */
export interface Place {
  traceId: string;
  session: string;
  /** The turn's key; absent for an exchange of no turn. */
  turn?: string;
  profile: string;
  /** What the user typed, for the call that it opened. */
  prompt?: string | null;
  /** When a call is taken to have ended that nobody saw end. */
  endedBy: number;
}

/** The id of a call's chat span. */
export function chatSpanIdOf(traceId: string, requestId: string): string {
  return derivedSpanId(traceId, requestId, 'chat');
}

/**
 * The span of the model's work in one call, from when it went upstream to the last byte of the answer; undefined for a
 * request that never went out.
 *
 * A chat of no turn is a trace of its own, and has no `session.id`: Phoenix shows a session by the newest root span of
 * its traces, and that of a title or a warm-up has neither question nor answer.
 */
export function chatSpan(call: Call, place: Place, options: RenderOptions): SpanData | undefined {
  if (call.forwardedAt === undefined) return undefined;
  const { traceId, session, turn } = place;
  const model = named(call.model ?? 'unknown');
  const content = showsContent(options) ? call.captured : undefined;
  const failure = failureOf(call);
  return finishSpan({
    traceId,
    spanId: chatSpanIdOf(traceId, call.requestId),
    parentSpanId: call.spanId,
    name: `chat ${model}`,
    kind: 'client',
    startedAt: call.forwardedAt,
    endedAt: call.endedAt ?? place.endedBy,
    attributes: {
      [ATTRIBUTE.spanKind]: 'LLM',
      ...(turn === undefined
        ? { [ATTRIBUTE.session]: session }
        : { [ATTRIBUTE.sessionId]: session, [ATTRIBUTE.conversation]: session, [ATTRIBUTE.turn]: turn }),
      [ATTRIBUTE.operation]: 'chat',
      [ATTRIBUTE.provider]: 'anthropic',
      [ATTRIBUTE.llmSystem]: 'anthropic',
      [ATTRIBUTE.llmProvider]: 'anthropic',
      [ATTRIBUTE.requestModel]: model,
      [ATTRIBUTE.llmRequestModel]: model,
      // As price tables know it: Phoenix looks the cost up by this name.
      [ATTRIBUTE.llmModel]: named(billedModel(call) ?? 'unknown').replace(/\[1m\]$/, ''),
      [ATTRIBUTE.serverAddress]: call.upstream?.address,
      [ATTRIBUTE.serverPort]: call.upstream?.port,
      [ATTRIBUTE.requestStream]: call.stream,
      [ATTRIBUTE.requestId]: call.requestId,
      [ATTRIBUTE.requestClass]: call.class,
      [ATTRIBUTE.profile]: place.profile,
      [ATTRIBUTE.agent]: call.agentId && named(call.agentId),
      [ATTRIBUTE.tags]: [call.class, place.profile],
      [ATTRIBUTE.compacted]: call.class === 'compaction' || call.contextCompacted !== undefined || undefined,
      [ATTRIBUTE.retryOf]: call.retryOf,
      ...answerAttributes(call),
      ...limitAttributes(call.rateLimits),
      [ATTRIBUTE.errorType]: failure?.type,
      ...(call.usage && usageAttributes(call.usage, billedModel(call), options.prices)),
      ...plain('input', preview((content && lastInput(content)) ?? place.prompt, options)),
      ...plain('output', outputOf(call, options)),
      ...(content && contentAttributes(content, call.stopReason)),
    },
    events: eventsOf(call),
    links: call.retryOf === undefined ? [] : [{ traceId, spanId: chatSpanIdOf(traceId, call.retryOf) }],
    ...(failure ? { status: 'error', statusMessage: failure.message } : { status: 'unset' }),
  });
}

function answerAttributes(call: Call): SpanData['attributes'] {
  const { forwardedAt = call.startedAt } = call;
  const responseModel = call.responseModel === null ? undefined : named(call.responseModel);
  const seconds = (ms: number | null) =>
    ms === null ? undefined : Math.max(0, call.startedAt + ms - forwardedAt) / 1_000;
  return {
    [ATTRIBUTE.responseId]: call.responseId ?? undefined,
    [ATTRIBUTE.responseModel]: responseModel,
    [ATTRIBUTE.llmResponseModel]: responseModel,
    [ATTRIBUTE.upstreamRequestId]: call.upstreamRequestId ?? undefined,
    [ATTRIBUTE.httpStatus]: call.status ?? undefined,
    [ATTRIBUTE.finishReasons]: call.stopReason === null ? undefined : [call.stopReason],
    [ATTRIBUTE.llmFinishReason]: call.stopReason ?? undefined,
    [ATTRIBUTE.timeToFirstChunk]: seconds(call.firstByteMs),
    [ATTRIBUTE.timeToFirstContent]: seconds(call.firstContentMs),
    [ATTRIBUTE.endReason]: call.endedAt === undefined ? 'unknown' : call.endReason,
    [ATTRIBUTE.usagePartial]: call.usage && call.endReason !== 'complete' ? true : undefined,
    [ATTRIBUTE.inputBytes]: call.bytesOut,
  };
}

const LIMIT_HEADER = /^anthropic-ratelimit-/;

/** What the answer says of the account's limits, each under its header's name; numbers as numbers. */
function limitAttributes(rateLimits: Readonly<Record<string, string>> = {}): SpanData['attributes'] {
  const limits = Object.entries(rateLimits).map(([header, value]) => {
    const number = Number(value);
    const isNumber = value.trim() !== '' && Number.isFinite(number);
    return [header.replace(LIMIT_HEADER, ATTRIBUTE.rateLimit), isNumber ? number : named(value)];
  });
  return Object.fromEntries(limits);
}

/**
 * What the answer was, in few words. Never empty where there was one: Phoenix fills an `output.value` that is missing
 * with the response's id.
 */
function outputOf(call: Call, options: RenderOptions): string | undefined {
  if (call.responseId === null) return preview(answerOf(call), options);
  if (!showsContent(options)) return '(not captured)';
  return (
    preview(answerOf(call), options) ?? `(${calledTools(call) ?? call.stopReason ?? call.endReason ?? 'no answer'})`
  );
}

/** From the capture where there is one: the gateway has taken out of it what nobody may see. */
function answerOf({ captured, text }: Call): string {
  if (!captured) return text;
  return captured.output.flatMap((block) => (block.type === 'text' ? [String(block['text'])] : [])).join('\n\n');
}

function calledTools({ captured }: Call): string | undefined {
  const names = captured?.output.filter(({ type }) => type === 'tool_use').map(({ name }) => named(String(name)));
  return names?.length ? `calls ${names.join(', ')}` : undefined;
}

function eventsOf({ startedAt, firstByteMs, firstContentMs }: Call): SpanData['events'] {
  const at = (name: string, ms: number | null) => (ms === null ? [] : [{ name, at: startedAt + ms }]);
  return [...at('first_chunk', firstByteMs), ...at('first_content', firstContentMs)];
}

/** A client that leaves is no fault of anybody; all else that is not complete is one. */
export function failureOf({
  endedAt,
  endReason,
  errorType,
  status,
}: Call): { type: string; message: string } | undefined {
  const refused = status !== null && status >= 400;
  if (endedAt === undefined || endReason === 'client_closed' || (endReason === 'complete' && !refused))
    return undefined;
  const type = named(errorType ?? (refused ? String(status) : (endReason ?? 'unknown')));
  return { type, message: [...new Set([endReason, status, type])].filter(Boolean).join(' ') };
}
