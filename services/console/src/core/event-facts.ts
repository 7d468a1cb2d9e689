import type { DataOf, EditOutcome, EventType, Usage } from '@loom/shared/event.ts';
import { cacheShare, counted, seconds, tally, tokensInOut } from '@loom/shared/figures.ts';
import { plain } from '@loom/shared/plain.ts';
import { textOf } from './screen.ts';
import { figuresOf } from './turn-line.ts';

type Facts = { [Type in EventType]?: (data: DataOf<Type>) => (string | null | undefined | false)[] };

/** The few things that matter of each event. A type that is not here is shown by its data. */
const FACTS: Facts = {
  'request.received': ({ class: kind, profile, model, body, awaited }) => [
    kind,
    profile,
    model,
    counted(body.messages, 'message'),
    `${body.bytes} bytes`,
    awaited.length > 0 && `awaits ${awaited.map(({ rewriter }) => rewriter).join(', ')}`,
  ],
  'edits.proposed': ({ rewriter, edits, error }) => [rewriter, counted(edits.length, 'edit'), error],
  'request.forwarded': ({ class: kind, profile, bytesIn, bytesOut, heldMs, replayed, edits }) => [
    kind,
    profile,
    bytesIn === bytesOut ? `${bytesIn} bytes` : `${bytesIn} → ${bytesOut} bytes`,
    heldMs > 0 && `held ${Math.round(heldMs)} ms`,
    replayed > 0 && `${replayed} replayed`,
    ...edits.map(describeOutcome),
  ],
  'response.completed': ({ class: kind, model, status, stopReason, usage, toolUses, durationMs }) => [
    kind,
    model,
    String(status),
    stopReason,
    ...describeUsage(usage),
    toolUses.length > 0 && tally(toolUses.map(({ name }) => name)),
    seconds(durationMs),
  ],
  'response.failed': ({ class: kind, model, status, endReason, errorType, durationMs }) => [
    kind,
    model,
    status === null ? null : String(status),
    endReason,
    errorType,
    seconds(durationMs),
  ],
  'rewriter.bypassed': ({ rewriter, outcome, waitedMs, reason }) => [
    rewriter,
    outcome,
    `waited ${Math.round(waitedMs)} ms`,
    reason,
  ],
  'identity.lost': ({ rewriter, labels, waitedMs, reason }) => [
    rewriter,
    labels.join(', '),
    `waited ${Math.round(waitedMs)} ms`,
    reason,
  ],
  'compaction.unrecognised': ({ reason, opening }) => [reason, opening],
  'exchange.captured': ({ class: kind, capture, input, inputOmitted }) => [
    kind,
    capture,
    `${counted(input.length, 'message')}${inputOmitted > 0 ? `, ${inputOmitted} left out` : ''}`,
  ],
  'transcript.refused': ({ reason, code }) => [reason, code],
  'turn.started': ({ profile, prompt }) => [profile, prompt],
  'turn.ended': (data) => figuresOf(data).map(({ piece }) => textOf(piece)),
  'spool.full': ({ gateway, dropped }) => [gateway, `${counted(dropped, 'event')} dropped`],
  'redis.emptied': ({ gateway, since }) => [gateway, `what Redis held is lost, it was there at ${since}`],
  'stream.gap': ({ group, lost, state, stream }) => [group, `lost ${lost} ${state} of ${stream}`],
};

/**
 * Says in few words what an event is about.
 *
 * @example
 * describeData('edits.proposed', data); // 'intro-injector · 1 edit'
 */
export function describeData<Type extends EventType>(type: Type, data: DataOf<Type>): string {
  const facts = FACTS[type] as ((data: DataOf<Type>) => (string | null | undefined | false)[]) | undefined;
  if (!facts) return JSON.stringify(data);
  return facts(data)
    .filter((fact) => typeof fact === 'string' && fact !== '')
    .map((fact) => plain(fact as string))
    .join(' · ');
}

function describeOutcome({ rewriter, outcome, operations, reason }: EditOutcome): string {
  const said = outcome === 'applied' ? `applied ${operations}` : outcome;
  return `${rewriter} ${said}${reason ? ` (${reason})` : ''}`;
}

function describeUsage(usage: Usage | null): string[] {
  if (!usage) return [];
  const cached = usage.cache_read_input_tokens ?? 0;
  const prompt = cached + (usage.input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0);
  return [tokensInOut(prompt, usage.output_tokens ?? 0), ...cacheShare(cached, prompt)];
}
