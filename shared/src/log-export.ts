import { type Attributes, context, DiagLogLevel, diag, logs, SeverityNumber } from '@opentelemetry/api';
import type winston from 'winston';
import Transport from 'winston-transport';

const SEVERITY: Record<string, SeverityNumber> = {
  error: SeverityNumber.ERROR,
  warn: SeverityNumber.WARN,
  info: SeverityNumber.INFO,
  debug: SeverityNumber.DEBUG,
};

/** Hands each line, as it was redacted, to OpenTelemetry. The stock transport delivers nothing with SDK 3. */
export class OtlpTransport extends Transport {
  override log(line: Record<string, unknown>, done: () => void): void {
    const { level, message, timestamp: _, service: __, trace_id: ___, span_id: ____, ...fields } = line;
    logs.getLogger('loom').emit({
      severityNumber: SEVERITY[String(level)] ?? SeverityNumber.UNSPECIFIED,
      severityText: String(level),
      body: String(message),
      attributes: fields as Attributes,
      context: context.active(),
    });
    done();
  }
}

const QUIET_MS = 60_000;

/**
 * Writes OpenTelemetry's own warnings to the log, one a minute at most and the others counted: without a collector
 * every batch brings one, and each line is itself exported, which must not go round in circles.
 */
export function logExportWarnings(log: winston.Logger): void {
  let last = Number.NEGATIVE_INFINITY;
  let suppressed = 0;
  const warn = (reason: string) => {
    suppressed += 1;
    if (performance.now() - last < QUIET_MS) return;
    last = performance.now();
    log.warn('telemetry is not exported', { reason, suppressed: suppressed - 1 });
    suppressed = 0;
  };
  const quiet = () => {};
  diag.setLogger(
    { error: warn, warn, info: quiet, debug: quiet, verbose: quiet },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}
