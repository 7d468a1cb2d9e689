import { derivedSpanId, turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { ATTRIBUTE } from './attribute.ts';
import { finishSpan, named, plain, preview, type RenderOptions } from './render.ts';
import type { SpanData } from './span-data.ts';
import { totalsOf } from './totals.ts';
import type { Turn } from './turn.ts';

/** Farther from the turn's first event than this, the hook's clock is another one. */
const MAX_HOOK_LEAD_MS = 60_000;

/**
 * The span that stands for what the user typed, and the hook's work under it. Its id is the one that the hook, or the gateway,
 * gave out at the start; it is exported at the end, with the answer: what Phoenix has stored once it never changes.
 */
export function rootSpans(turn: Turn, options: RenderOptions): SpanData[] {
  const { traceId, rootSpanId, session, hook, origin } = turn;
  // The client's own span is the root; and what the hook has sent would not change any more.
  if (origin === 'client' || hook?.exportsSpans) return [];

  const collectedMs = Math.max(0, hook?.collectedMs ?? 0);
  const sentAt = Date.parse(hook?.sentAt ?? '');
  const lead = turn.startedAt - sentAt;
  const startedAt = lead >= 0 && lead <= MAX_HOOK_LEAD_MS ? sentAt : turn.startedAt - collectedMs;
  const host = hook?.machine?.['fqdn'];
  const seen = options.capture !== 'none';
  const root = finishSpan({
    traceId,
    spanId: rootSpanId,
    ...(origin === 'hook' && hook?.parentSpanId !== undefined && { parentSpanId: hook.parentSpanId }),
    name: `user-turn:${session}`,
    startedAt,
    endedAt: turn.endedAt,
    attributes: {
      ...turnAttributes(turn, 'CHAIN'),
      [ATTRIBUTE.cwd]: seen ? hook?.cwd : undefined,
      [ATTRIBUTE.hostName]: seen && typeof host === 'string' ? host : undefined,
      ...plain('input', preview(turn.prompt, options)),
      ...plain('output', preview(turn.answer, options)),
    },
  });
  if (origin !== 'hook') return [root];
  const collecting = finishSpan({
    traceId,
    spanId: derivedSpanId(traceId, rootSpanId, 'collect-metadata'),
    parentSpanId: rootSpanId,
    name: 'collect-metadata',
    startedAt,
    endedAt: startedAt + collectedMs,
    attributes: { [ATTRIBUTE.spanKind]: 'CHAIN', [ATTRIBUTE.sessionId]: session, [ATTRIBUTE.turn]: turn.key },
  });
  return [root, collecting];
}

/** The span of all the work on one turn. */
export function turnSpan(turn: Turn, options: RenderOptions): SpanData {
  const parentSpanId = turn.origin === 'client' ? turn.clientSpanId : turn.rootSpanId;
  const { tokens, costUsd } = totalsOf(turn.calls, options.prices);
  const failed = turn.endReason === 'error';
  return finishSpan({
    traceId: turn.traceId,
    spanId: turnSpanIdOf(turn.traceId, turn.rootSpanId),
    ...(parentSpanId !== undefined && { parentSpanId }),
    name: 'turn',
    startedAt: turn.startedAt,
    endedAt: turn.endedAt,
    attributes: {
      ...turnAttributes(turn, 'AGENT'),
      [ATTRIBUTE.operation]: 'invoke_agent',
      [ATTRIBUTE.provider]: 'anthropic',
      [ATTRIBUTE.agentName]: 'claude-code',
      [ATTRIBUTE.conversation]: turn.session,
      [ATTRIBUTE.turnApiCalls]: turn.calls.filter(({ forwardedAt }) => forwardedAt !== undefined).length,
      [ATTRIBUTE.turnToolCalls]: turn.tools.length,
      // Not `gen_ai.usage.*`: backends would count the calls' tokens twice.
      [ATTRIBUTE.turnPrompt]: tokens.prompt,
      [ATTRIBUTE.turnCompletion]: tokens.completion,
      [ATTRIBUTE.turnTotal]: tokens.total,
      [ATTRIBUTE.turnCacheRead]: tokens.cacheRead,
      [ATTRIBUTE.turnCacheWrite]: tokens.cacheWrite,
      [ATTRIBUTE.turnCost]: costUsd ?? undefined,
      [ATTRIBUTE.prices]: options.prices.version,
      [ATTRIBUTE.errorType]: failed ? named(turn.errorType ?? 'unknown') : undefined,
      ...plain('input', preview(turn.prompt, options)),
      ...plain('output', preview(turn.answer, options)),
    },
    ...(failed ? { status: 'error', statusMessage: named(turn.errorType ?? 'unknown') } : { status: 'unset' }),
  });
}

function turnAttributes(turn: Turn, kind: 'CHAIN' | 'AGENT'): SpanData['attributes'] {
  return {
    [ATTRIBUTE.spanKind]: kind,
    [ATTRIBUTE.sessionId]: turn.session,
    [ATTRIBUTE.turn]: turn.key,
    [ATTRIBUTE.turnEndReason]: turn.endReason,
    [ATTRIBUTE.origin]: turn.origin,
    [ATTRIBUTE.profile]: turn.profile,
    [ATTRIBUTE.tags]: [turn.profile],
  };
}
