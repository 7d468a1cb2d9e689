import { type Attributes, context, DiagLogLevel, diag, logs, SeverityNumber } from '@opentelemetry/api';
import type winston from 'winston';
import Transport from 'winston-transport';
import { lostSoFar } from './export-losses.ts';

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
 * Writes OpenTelemetry's own warnings to the log, one a minute at most, with how many others there were and how much was
 * lost by then: without a collector every batch brings one, and each line is itself exported, which must not go round in
 * circles.
 */
export function logExportWarnings(log: winston.Logger): void {
  let reason = '';
  let warnings = 0;
  let lostBefore = 0;
  let isQuiet = false;
  const tell = () => {
    const lost = lostSoFar();
    isQuiet = warnings > 0 || lost > lostBefore;
    if (!isQuiet) return;
    log.warn('telemetry is not exported', {
      reason,
      suppressed: Math.max(0, warnings - 1),
      dropped: lost - lostBefore,
    });
    [warnings, lostBefore] = [0, lost];
    setTimeout(tell, QUIET_MS).unref();
  };
  const warn = (message: string) => {
    reason = message;
    warnings += 1;
    if (!isQuiet) tell();
  };
  const quiet = () => {};
  diag.setLogger(
    { error: warn, warn, info: quiet, debug: quiet, verbose: quiet },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}
