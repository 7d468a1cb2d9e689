import type { ExchangeTrace } from '@loom/shared/event.ts';
import type { Metadata } from '@loom/shared/metadata.ts';
import { findTraceParent, type TraceParent } from '@loom/shared/trace-context.ts';
import { requestParentOf } from '@loom/shared/turn-span.ts';
import type { Sha256 } from './anchor.ts';
import { isContinued } from './human-text.ts';
import type { Headers } from './identity.ts';
import { type Placed, type ReadRequest, shortHeader } from './messages-request.ts';
import { findOpening, type Opening, openingAnchor } from './turn-opening.ts';
import { deriveTurn, type TurnRecord } from './turn-record.ts';

/** Where a request stands in its trace, before it has a span. */
export interface PlacedTrace {
  origin: ExchangeTrace['origin'];
  /** Undefined where the request begins a trace of its own. */
  traceId: string | undefined;
  /** Undefined where it belongs to no turn. */
  rootSpanId: string | undefined;
  parentSpanId: string | undefined;
  clientSpanId: string | undefined;
  /** The client's own span, where it is not what the request descends from. */
  link: TraceParent | undefined;
  /** The turn that it belongs to. */
  turn: TurnRecord | undefined;
  /** The session is at that turn now. */
  isNewest: boolean;
  /** The request's metadata block was printed for the prompt that it is about, and not for an earlier one. */
  ownsBlock: boolean;
}

export interface TraceSigns {
  read: ReadRequest;
  placed: Placed;
  headers: Headers;
  /** The session's turns, newest first. */
  turns: TurnRecord[];
  /** The turn that the request's agent was seen in before. */
  agentTurn: TurnRecord | undefined;
}

/** A request that nothing is known about: a trace of its own. */
export const NO_TRACE: PlacedTrace = {
  origin: 'none',
  traceId: undefined,
  rootSpanId: undefined,
  parentSpanId: undefined,
  clientSpanId: undefined,
  link: undefined,
  turn: undefined,
  isNewest: false,
  ownsBlock: false,
};

/**
 * Decides which turn a request belongs to, and what its span descends from. In this order: its own metadata block, if it
 * is that of the newest prompt; the turn that the session knows it to be in; the client's `traceparent`; ids that follow
 * from session and prompt. Only the conversation itself opens a turn: titles, classifiers and warm-ups happen in one.
 *
 * @example
 * placeTrace({ read, placed, headers, turns: [], agentTurn: undefined }, sha256).origin; // 'hook'
 */
export function placeTrace(signs: TraceSigns, sha256: Sha256): PlacedTrace {
  const { read, placed } = signs;
  // Looks at texts, which may be long: only where it decides something.
  const decides = read.metadata !== undefined || isConversation(placed);
  const opening = read.tree && decides ? findOpening(read.tree, placed.class) : undefined;
  const metadata = ownsBlock(read, opening) ? read.metadata : undefined;
  return { ...decide(signs, opening, metadata, sha256), ownsBlock: metadata !== undefined };
}

function decide(
  signs: TraceSigns,
  opening: Opening | undefined,
  metadata: Metadata | undefined,
  sha256: Sha256,
): PlacedTrace {
  const { read, placed, headers } = signs;
  const header = findTraceParent(headers['traceparent']);
  const promptId = shortHeader(headers, 'x-claude-code-prompt-id') ?? metadata?.prompt_id;
  const remembered = promptId === undefined ? {} : { promptId };
  // Costs a look at every text that was typed.
  const findAnchor = () =>
    isConversation(placed) && read.tree && opening && (read.session ?? header)
      ? openingAnchor(read.tree, opening, read.session ?? (header as TraceParent).traceId, placed, sha256)
      : undefined;

  const block = findTraceParent(metadata?.traceparent);
  if (block) {
    const { traceId, spanId: rootSpanId } = block;
    const isKnown = signs.turns.some((turn) => turn.traceId === traceId && turn.rootSpanId === rootSpanId);
    const anchor = isKnown ? undefined : findAnchor();
    const turn: TurnRecord = { traceId, rootSpanId, origin: 'hook', ...remembered, ...(anchor && { anchor }) };
    return within(turn, 'hook', headers, header, isConversation(placed));
  }

  const anchor = findAnchor();
  const known = findTurn(signs, promptId, opening, anchor);
  // A client that has begun a trace of its own since then is no longer in that turn.
  if (known && (known.origin !== 'client' || !header || header.traceId === known.traceId)) {
    if (known.origin === 'client' && header) return under(header, known);
    const isOpening = known.origin === 'gateway' && opening?.isNewest && known.anchor === anchor;
    return within(known, isOpening ? 'gateway' : 'session', headers, header);
  }
  if (anchor === undefined) return header ? under(header, undefined) : NO_TRACE;
  const derived = deriveTurn(read.session ?? (header as TraceParent).traceId, anchor, sha256);
  if (!header) {
    const turn: TurnRecord = { ...derived, origin: 'gateway', anchor, ...remembered };
    return within(turn, 'gateway', headers, undefined, true);
  }
  const { traceId, spanId: clientSpanId } = header;
  const turn: TurnRecord = { ...derived, traceId, origin: 'client', clientSpanId, anchor, ...remembered };
  return under(header, turn, true);
}

function isConversation({ class: requestClass }: Placed): boolean {
  return requestClass === 'main' || requestClass === 'compaction';
}

/** Not where the newest prompt came without a block: then the newest block is that of an earlier turn. */
function ownsBlock({ tree, metadataMessage }: ReadRequest, opening: Opening | undefined): boolean {
  if (!tree || !metadataMessage || !opening) return true;
  // The newest clients send it in a message of its own, behind the prompt.
  return tree.messages.indexOf(metadataMessage) >= tree.messages.indexOf(opening.message);
}

/** The turn of a request that does not say it: by the client's name for it, its agent, its prompt, else the newest. */
function findTurn(
  { read, placed, turns, agentTurn }: TraceSigns,
  promptId: string | undefined,
  opening: Opening | undefined,
  anchor: string | undefined,
): TurnRecord | undefined {
  const named = promptId === undefined ? undefined : turns.find((turn) => turn.promptId === promptId);
  if (named) return named;
  if (agentTurn) return agentTurn;
  if (!isConversation(placed)) return turns[0];
  if (opening?.isNewest) return undefined;
  const opened = anchor === undefined ? undefined : turns.find((turn) => turn.anchor === anchor);
  if (opened) return opened;
  // A prompt that the session does not know was seen by another gateway, or before a restart: its ids follow from it.
  // Only a compaction gives prompts that are known other anchors.
  return anchor === undefined || (read.tree && isContinued(read.tree)) ? turns[0] : undefined;
}

/** In a turn of ours: under its span, or under that of the agent that sends it. */
function within(
  turn: TurnRecord,
  origin: ExchangeTrace['origin'],
  headers: Headers,
  link: TraceParent | undefined,
  isNewest = false,
): PlacedTrace {
  const { traceId, rootSpanId, clientSpanId } = turn;
  const agentId = shortHeader(headers, 'x-claude-code-agent-id');
  const parentSpanId = requestParentOf({ traceId, rootSpanId, origin, clientSpanId }, agentId);
  return { ...NO_TRACE, origin, traceId, rootSpanId, parentSpanId, clientSpanId, link, turn, isNewest };
}

/** In the client's own trace, under its span. */
function under({ traceId, spanId }: TraceParent, turn: TurnRecord | undefined, isNewest = false): PlacedTrace {
  const place = { ...NO_TRACE, traceId, parentSpanId: spanId, clientSpanId: spanId };
  return turn ? { ...place, origin: 'client', rootSpanId: turn.rootSpanId, turn, isNewest } : place;
}
