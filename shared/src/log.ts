import { isSpanContextValid, trace } from '@opentelemetry/api';
import winston from 'winston';
import { logExportWarnings, OtlpTransport } from './log-export.ts';
import { inert, plainJson } from './plain.ts';
import { redact, scrub } from './redaction.ts';
import { isTelemetryOn } from './telemetry.ts';

export type Logger = winston.Logger;

export interface LogOptions {
  /** The service that writes. */
  service: string;
  /** The least severe level that is written: error, warn, info or debug. */
  level: string;
  /** json: one object a line; pretty: for a person's eyes. Default: LOOM_LOG_FORMAT, else json. */
  format?: 'json' | 'pretty';
}

/**
 * Opens the log of a process: lines on stdout and, where telemetry is on, OTLP log records. Each line carries the trace
 * and span it was written in, and of the fields given only those that SAFE_FIELDS names (see `redact`).
 *
 * @example
 * const log = createLog({ service: 'gateway', level: 'info' });
 * log.info('listening', { port: 8080 });
 * // {"timestamp":"…","level":"info","service":"gateway","message":"listening","port":8080}
 */
export function createLog({ service, level, format }: LogOptions): Logger {
  const pretty = (format ?? process.env['LOOM_LOG_FORMAT']) === 'pretty';
  const stdout = new winston.transports.Console({ format: pretty ? prettyLine() : jsonLine() });
  const safe = safeLine({ service });
  if (!isTelemetryOn()) return withoutUnwritten(winston.createLogger({ level, format: safe, transports: [stdout] }));

  const log = winston.createLogger({ level, format: safe, transports: [stdout, new OtlpTransport()] });
  logExportWarnings(log);
  return withoutUnwritten(log);
}

/** winston makes each line, and only then looks whether its level is written: a debug line cost a request 40 µs. */
function withoutUnwritten(log: Logger): Logger {
  const unwritten = Object.keys(log.levels).filter((name) => !log.isLevelEnabled(name));
  return Object.assign(log, Object.fromEntries(unwritten.map((name) => [name, () => log])));
}

// winston keeps a line's level, and the text to write, under symbols of its own.
const LEVEL = Symbol.for('level');
const TEXT = Symbol.for('message');

const safeLine = winston.format((line, options) => {
  const { level, message, ...fields } = line;
  const { service } = options as { service: string };
  const span = trace.getActiveSpan()?.spanContext();
  const written = {
    timestamp: new Date().toISOString(),
    level,
    service,
    message: scrub(String(message)),
    ...(span && isSpanContextValid(span) ? { trace_id: span.traceId, span_id: span.spanId } : {}),
    ...redact(fields),
  };
  return Object.assign(written, { [LEVEL]: line[LEVEL] });
});

const jsonLine = winston.format((line) => Object.assign(line, { [TEXT]: plainJson(line) }));

const prettyLine = winston.format((line) => {
  const { timestamp, level, service: _, message, trace_id: __, span_id: ___, ...fields } = line;
  const time = new Date(String(timestamp)).toTimeString().slice(0, 8);
  const pairs = Object.entries(fields).map(([name, value]) => ` ${name}=${prettyValue(value)}`);
  return Object.assign(line, { [TEXT]: `${time} ${level.padEnd(5)} ${inert(String(message))}${pairs.join('')}` });
});

function prettyValue(value: unknown): string {
  if (typeof value === 'string' && /^[!#-<>-~]+$/.test(value)) return value;
  if (typeof value === 'object' && value !== null && 'message' in value) return plainJson(value.message);
  return plainJson(value);
}
