import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from './log.ts';
import { reasonOf } from './redaction.ts';
import { shutdownTelemetry } from './telemetry.ts';

/**
 * Node's exit waits for the threads that compile, and these may wait for the main thread to collect garbage: then the
 * process hangs for ever (nodejs/node#54918). In so long a rest they come to their end, milliseconds.
 */
const REST_MS = 50;

/**
 * Ends the process in good order: on SIGTERM or SIGINT it stops, sends the telemetry that is left and exits with 0. The
 * same signal again exits at once; another one does not, because Ctrl-C reaches a process twice, from the terminal and
 * from whoever started it. An error that nobody caught is logged and exits with 1.
 *
 * @param stop drains; whatever it takes is waited for
 */
export function exitOnSignals(log: Logger, stop: () => Promise<void>): void {
  const received = new Set<string>();
  const drain = async (signal: NodeJS.Signals) => {
    if (received.has(signal)) process.exit(1);
    received.add(signal);
    if (received.size > 1) return;
    log.info('draining', { signal });
    await stop();
    await shutdownTelemetry();
    await delay(REST_MS);
    process.exit(0);
  };
  process.on('SIGTERM', drain);
  process.on('SIGINT', drain);
  process.on('uncaughtException', (error) => {
    log.error('uncaught', { error, stack: error instanceof Error ? error.stack : reasonOf(error) });
    process.exit(1);
  });
}
