import type { CaptureMode, DataOf, EventType, LoomEvent } from '@loom/shared/event.ts';
import { findTraceParent } from '@loom/shared/trace-context.ts';
import type { Redact } from './redact.ts';

/** What a turn keeps of an event. All times are Unix ms. */
export type TurnRecord =
  | (Common & { kind: 'received'; data: DataOf<'request.received'> })
  | (Common & { kind: 'forwarded'; data: DataOf<'request.forwarded'> })
  | (Common & { kind: 'response'; data: ResponseData })
  | (Common & { kind: 'captured'; data: DataOf<'exchange.captured'> })
  | (Common & { kind: 'interrupted'; data: { id: string } });

interface Common {
  session: string;
  time: number;
  /** The event's own span, where it has one. */
  send?: { spanId: string; type: EventType };
}

export type ExchangeRecord = Exclude<TurnRecord, { kind: 'interrupted' }>;
export type CapturedRecord = Extract<ExchangeRecord, { kind: 'captured' }>;
/** Says where an exchange stands in its trace. */
export type PlacedRecord = Exclude<ExchangeRecord, { kind: 'captured' }>;
export type ResponseData = DataOf<'response.completed'> & Partial<Pick<DataOf<'response.failed'>, FailedFields>>;
type FailedFields = 'endReason' | 'errorType';

export type ExchangeEvent = LoomEvent<
  'request.received' | 'request.forwarded' | 'response.completed' | 'response.failed' | 'exchange.captured'
>;

export interface Intake {
  /** Whether what was said may be kept (`LOOM_CAPTURE`): without it prompt and answer are left out. */
  withContent: boolean;
  /** Takes out what nobody may see, before anything is kept. */
  redact: Redact;
}

/** A gateway cuts prompts to this length. */
const PROMPT_CHARACTERS = 2_000;

/** What is kept of an event of an exchange. */
export function recordOf(event: ExchangeEvent, { withContent, redact }: Intake): ExchangeRecord {
  const send = sendOf(event);
  const envelope = { session: event.subject, time: Date.parse(event.time), ...(send && { send }) };
  switch (event.type) {
    case 'request.received': {
      const { view: _, hook, ...data } = event.data;
      const hides = !withContent || hidesContent(data.capture);
      const shown = hook && { ...hook, ...shownOf(hook, hides, redact) };
      // No content will come of it, whatever its gateway captures.
      const capture = withContent || hidesContent(data.capture) ? {} : ({ capture: 'metadata' } as const);
      const kept = { ...data, ...capture, awaited: [], ...(shown && { hook: shown }) };
      return { kind: 'received', ...envelope, data: kept };
    }
    case 'request.forwarded':
      return { kind: 'forwarded', ...envelope, data: event.data };
    case 'exchange.captured':
      return { kind: 'captured', ...envelope, data: redact.capture(event.data) };
    default: {
      const { text, textTruncated } = event.data;
      const shown = withContent ? redact.text(text, textTruncated) : '';
      return { kind: 'response', ...envelope, data: { ...event.data, text: shown } };
    }
  }
}

function shownOf({ prompt, cwd }: Hook, hides: boolean, redact: Redact): Pick<Hook, 'prompt' | 'cwd'> {
  const isCut = (prompt?.length ?? 0) >= PROMPT_CHARACTERS;
  return {
    prompt: prompt === undefined || hides ? undefined : redact.text(prompt, isCut),
    ...(cwd !== undefined && { cwd: redact.text(cwd, false) }),
  };
}

type Hook = NonNullable<DataOf<'request.received'>['hook']>;

/** Without telemetry in the gateway, an event passes on the span that it descends from. */
function sendOf({ type, traceparent, data: { trace } }: ExchangeEvent): Common['send'] {
  const own = findTraceParent(traceparent);
  return own && own.traceId === trace?.traceId && own.spanId !== trace.spanId
    ? { spanId: own.spanId, type }
    : undefined;
}

/** Whether a gateway's operator wants nothing of what was said in spans and turns. */
export function hidesContent(capture: CaptureMode | undefined): boolean {
  return capture === 'none' || capture === 'metadata';
}

/** Names a record within its turn: a repetition has the same name. */
export function nameOf(record: TurnRecord): string {
  return `${record.kind}:${record.kind === 'interrupted' ? record.data.id : record.data.requestId}`;
}

/** When the exchange arrived at its gateway, as far as this record knows; Unix ms. */
export function arrivalOf(record: PlacedRecord): number {
  const said = timeOf(record.kind === 'received' ? undefined : record.data.startedAt);
  if (said !== undefined) return said;
  // Gateways before `startedAt`: the event's own time, less what it says went by.
  if (record.kind === 'received') return record.time;
  return record.time - (record.kind === 'forwarded' ? record.data.heldMs : record.data.durationMs);
}

/** RFC 3339 as Unix ms. */
export function timeOf(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : time;
}
