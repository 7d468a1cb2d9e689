import { isChunked, valuesOf } from './request-fault.ts';

/** Node reads so many headers of an answer and drops the rest in silence, a length among them. */
const MAX_HEADERS = 1_000;

interface AnswerHead {
  statusCode?: number | undefined;
  /** Names and values in turn. */
  rawHeaders: string[];
}

/**
 * Why an answer that could be parsed is not passed on: the client would read another one, or wait for one. Undefined for
 * any that can be.
 *
 * @example
 * findAnswerFault({ statusCode: 101, rawHeaders: [] }); // 'upgrade_unasked'
 */
export function findAnswerFault({ statusCode = 0, rawHeaders }: AnswerHead): string | undefined {
  if (statusCode === 101) return 'upgrade_unasked';
  if (rawHeaders.length >= 2 * MAX_HEADERS) return 'too_many_headers';
  // No `te` was sent: whatever else the body went through, the client could not undo.
  const codings = valuesOf(rawHeaders, 'transfer-encoding');
  return codings.length === 0 || isChunked(codings) ? undefined : 'unknown_transfer_coding';
}
