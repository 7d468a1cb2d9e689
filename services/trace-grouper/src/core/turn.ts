import type { DataOf, EditOutcome, EventType, ExchangeTrace, RequestClass, Usage } from '@loom/shared/event.ts';

/** A turn as its events tell it: from what the user typed to the answer that asks for no tool. All times are Unix ms. */
export interface Turn {
  /** `<traceId>-<rootSpanId>` */
  key: string;
  session: string;
  traceId: string;
  rootSpanId: string;
  /** Of the exchange that opened it. */
  origin: ExchangeTrace['origin'];
  /** The client's own span that the turn descends from; its trace is this one with origin `client`. */
  clientSpanId?: string;
  profile: string;
  /** What the hook said; absent without one. */
  hook?: DataOf<'request.received'>['hook'];
  prompt: string | null;
  startedAt: number;
  /** Of the last thing that is known to belong to it. */
  endedAt: number;
  /** When the user last stopped it, by the client's transcript. */
  interruptedAt?: number;
  /** `open`, or how it ended: see `turn.ended`. */
  endReason: string;
  errorType?: string;
  answer: string | null;
  /** In order of their start. */
  calls: Call[];
  tools: ToolUse[];
  agents: Agent[];
}

/** One exchange of the turn. */
export interface Call {
  requestId: string;
  gateway: string;
  /** The request span. */
  spanId: string;
  /** What it descends from; absent for a trace of its own. */
  parentSpanId?: string;
  origin: ExchangeTrace['origin'];
  /** What it links of the client's. */
  link?: { traceId: string; spanId: string };
  class: RequestClass;
  agentId?: string;
  /** As the request names it. */
  model: string | null;
  /** The one that answered; null where the answer, or a gateway of before, does not say. */
  responseModel: string | null;
  /** Where it went. */
  upstream?: { address: string; port: number };
  stream?: boolean;
  startedAt: number;
  /** Absent when it never went out. */
  forwardedAt?: number;
  /** Absent while it is open. */
  endedAt?: number;
  firstByteMs: number | null;
  firstContentMs: number | null;
  status: number | null;
  /** complete, or `endReason` of `response.failed`. */
  endReason?: string;
  errorType: string | null;
  stopReason: string | null;
  usage: Usage | null;
  responseId: string | null;
  upstreamRequestId: string | null;
  text: string;
  bytesIn: number;
  bytesOut: number;
  /** Of the answer. */
  bytes: number;
  metadataBlocks: number;
  replayed: number;
  heldMs: number;
  edits: EditOutcome[];
  rateLimits?: Record<string, string>;
  contextCompacted?: string;
  /** The call whose body it repeats after that failed. */
  retryOf?: string;
  captured?: DataOf<'exchange.captured'>;
  /** The spans of its events, which readers descend from. */
  sends: Send[];
}

/** An event that told of a call. */
export interface Send {
  spanId: string;
  type: EventType;
  at: number;
}

/** A tool that one call asked for and a later one brought the result of; its times are those of the calls around it. */
export interface ToolUse {
  id: string;
  name: string;
  /** requestId of the call that asked. */
  askedBy: string;
  /** requestId of the call that brought the result; absent when none did. */
  answeredBy?: string;
  startedAt: number;
  endedAt: number;
  isError: boolean;
  /** The subagent that used it; absent in the main conversation. */
  agentId?: string;
}

/** A subagent of the turn. */
export interface Agent {
  id: string;
  type?: string;
  /** The agent that started it; absent when the main conversation did. */
  parentId?: string;
  /** The tool use that started it, where one can be told from its times and name. */
  toolUseId?: string;
  startedAt: number;
  endedAt: number;
}
