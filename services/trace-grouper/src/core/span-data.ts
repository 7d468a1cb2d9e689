/** A span as data: what goes out over OTLP. Times are Unix ms, ids lower-case hex. */
export interface SpanData {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  startedAt: number;
  endedAt: number;
  /** Undefined values are left out. */
  attributes: Record<string, string | number | boolean | string[] | undefined>;
  events: { name: string; at: number; attributes?: Record<string, string | number | boolean> }[];
  links: { traceId: string; spanId: string }[];
  status: 'unset' | 'ok' | 'error';
  /** What failed, in few words; with status `error` alone. */
  statusMessage?: string;
}
