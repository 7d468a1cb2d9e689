import { requestParentOf } from '@loom/shared/turn-span.ts';
import { arrivalOf, type ExchangeRecord, hidesContent, timeOf } from './record.ts';
import type { Call } from './turn.ts';

/** The records of one exchange, as far as they have come. */
export interface Exchange {
  requestId: string;
  received?: Data<'received'>;
  forwarded?: Data<'forwarded'>;
  response?: Data<'response'>;
  captured?: Data<'captured'>;
}

type Data<Kind> = Extract<ExchangeRecord, { kind: Kind }>;

/** The records by their exchange. */
export function exchangesOf(records: readonly ExchangeRecord[]): Exchange[] {
  const exchanges = new Map<string, Exchange>();
  for (const record of records) {
    const { requestId } = record.data;
    const exchange = exchanges.get(requestId) ?? { requestId };
    exchanges.set(requestId, { ...exchange, [record.kind]: record });
  }
  return [...exchanges.values()];
}

/** An exchange with the call that it makes. */
export interface CallOf {
  exchange: Exchange;
  call: Call;
}

/** The calls of a turn, by their start. A content without an exchange makes none. */
export function callsOf(records: readonly ExchangeRecord[]): CallOf[] {
  const calls = exchangesOf(records).flatMap((exchange) => {
    const call = callOf(exchange);
    return call ? [{ exchange, call }] : [];
  });
  return markRetries(calls.sort((a, b) => a.call.startedAt - b.call.startedAt || compare(a.call, b.call)));
}

function compare(a: Call, b: Call): number {
  return a.requestId < b.requestId ? -1 : 1;
}

function callOf(exchange: Exchange): Call | undefined {
  const { requestId, received, forwarded, response, captured } = exchange;
  const facts = (received ?? forwarded ?? response)?.data;
  if (!facts?.trace) return undefined;

  const { trace, gateway } = facts;
  const startedAt = startOf(exchange);
  const agentId = received?.data.agentId ?? forwarded?.data.agentId;
  const parentSpanId = requestParentOf(trace, agentId);
  const contextCompacted = received?.data.contextCompacted;
  const forwardedAt = forwardedAtOf(exchange, startedAt);
  // The gateway's operator lets none of it out.
  const isHidden = hidesContent(received?.data.capture ?? forwarded?.data.capture);
  return {
    requestId,
    gateway,
    spanId: trace.spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    origin: trace.origin,
    ...(trace.link && { link: trace.link }),
    class: facts.class,
    ...(agentId !== undefined && { agentId }),
    model: facts.model,
    responseModel: response?.data.responseModel ?? null,
    ...(forwarded?.data.upstream && { upstream: forwarded.data.upstream }),
    ...(received && { stream: received.data.stream }),
    startedAt,
    ...(forwardedAt !== undefined && { forwardedAt }),
    ...(response && { endedAt: startedAt + response.data.durationMs }),
    firstByteMs: response?.data.firstByteMs ?? null,
    firstContentMs: response?.data.firstContentMs ?? null,
    status: response?.data.status ?? null,
    ...(response && { endReason: response.data.endReason ?? 'complete' }),
    errorType: response?.data.errorType ?? null,
    stopReason: response?.data.stopReason ?? null,
    usage: response?.data.usage ?? null,
    responseId: response?.data.responseId ?? null,
    upstreamRequestId: response?.data.upstreamRequestId ?? null,
    text: isHidden ? '' : (response?.data.text ?? ''),
    bytesIn: forwarded?.data.bytesIn ?? received?.data.body.bytes ?? 0,
    bytesOut: forwarded?.data.bytesOut ?? 0,
    bytes: response?.data.bytes ?? 0,
    metadataBlocks: forwarded?.data.metadataBlocks ?? 0,
    replayed: forwarded?.data.replayed ?? 0,
    heldMs: forwarded?.data.heldMs ?? 0,
    edits: forwarded?.data.edits ?? [],
    ...(response?.data.rateLimits && { rateLimits: response.data.rateLimits }),
    ...(contextCompacted !== undefined && { contextCompacted }),
    ...(captured && { captured: captured.data }),
    sends: [received, forwarded, response, captured].flatMap((record) =>
      record?.send ? [{ ...record.send, at: record.time }] : [],
    ),
  };
}

/** Best by a record that says it: an event's own time is later. */
function startOf({ received, forwarded, response }: Exchange): number {
  const saying = [forwarded, response].find((record) => timeOf(record?.data.startedAt) !== undefined);
  const record = saying ?? received ?? forwarded ?? response;
  return record ? arrivalOf(record) : 0;
}

/** Where the event is missing: what was answered went out. */
function forwardedAtOf({ forwarded, response }: Exchange, startedAt: number): number | undefined {
  if (forwarded) return timeOf(forwarded.data.forwardedAt) ?? startedAt + forwarded.data.heldMs;
  return response && response.data.status !== null ? startedAt : undefined;
}

/** A client repeats a request that got no whole answer with the same bytes, and says nowhere that it does. */
function markRetries(calls: CallOf[]): CallOf[] {
  const failed = new Map<string, string>();
  return calls.map(({ exchange, call }) => {
    const { bodySha256 } = exchange.forwarded?.data ?? {};
    if (bodySha256 === undefined) return { exchange, call };
    const body = [call.agentId ?? '', bodySha256].join(' ');
    const retryOf = failed.get(body);
    if (call.endReason === 'complete') failed.delete(body);
    else failed.set(body, call.requestId);
    return { exchange, call: { ...call, ...(retryOf !== undefined && { retryOf }) } };
  });
}
