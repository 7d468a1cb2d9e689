import { z } from 'zod';

const traceId = z.string().regex(/^(?!0{32})[0-9a-f]{32}$/);
const spanId = z.string().regex(/^(?!0{16})[0-9a-f]{16}$/);

/** Where an exchange stands in its trace. `traceId` and `rootSpanId` together name the turn that it belongs to. */
export const ExchangeTrace = z.looseObject({
  traceId,
  /** The span that stands for what the user typed: the hook's, or one that the gateway derived. */
  rootSpanId: spanId,
  /** The request span. */
  spanId,
  /**
   * hook: the request's own metadata block names the trace; client: its `traceparent` header does; gateway: neither, so
   * the gateway derived one for what a person typed; session: that of the session's newest turn; none: the request
   * belongs to no turn, and is a trace of its own.
   */
  origin: z.enum(['hook', 'client', 'gateway', 'session', 'none']),
  /** The span of the client's own that the request descends from; its trace is this one with origin `client`. */
  clientSpanId: spanId.optional(),
  /** A span of the client's own that the request span links, where it does not descend from it. */
  link: z.looseObject({ traceId, spanId }).optional(),
});
export type ExchangeTrace = z.infer<typeof ExchangeTrace>;
