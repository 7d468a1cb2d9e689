import type { DataOf } from '@loom/shared/event.ts';
import type { Answer } from './answer.ts';

/** Why an exchange is over. */
export type EndReason = 'complete' | DataOf<'response.failed'>['endReason'];

/** How an exchange ended, and the kind of failure where it failed. */
export interface End {
  reason: EndReason;
  errorType: string | null;
}

/**
 * What an end was in truth. A stream that ends without message_stop was cut, whatever HTTP says; an error event, or an
 * error's status, is the upstream's own.
 *
 * @param reason as HTTP has it
 * @param errorType what the transport says
 * @param isReadAlong the answer was understood all the way
 */
export function endOf(
  { reason, errorType }: End,
  answer: Answer | undefined,
  status: number | null,
  isReadAlong: boolean,
): End {
  const saidType = answer?.errorType ?? null;
  if (reason !== 'complete') return { reason, errorType: saidType ?? errorType };
  if (saidType !== null || (status !== null && status >= 400)) return { reason: 'upstream_error', errorType: saidType };
  const isCut = answer !== undefined && !answer.isComplete && isReadAlong && status !== null && status < 300;
  return isCut ? { reason: 'upstream_aborted', errorType: 'stream_incomplete' } : { reason, errorType };
}
