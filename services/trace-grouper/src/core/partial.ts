import { exchangesOf } from './calls.ts';
import { type ExchangeRecord, hidesContent, type TurnRecord } from './record.ts';

export interface Come {
  records: readonly TurnRecord[];
  /** How many contents have come. */
  captures: number;
}

/**
 * Whether gateways have told of the calls more than has come: the rest is on its way, or with a replica that was killed.
 *
 * @param isGone whether a gateway was killed: it may have had no time to tell what was said
 */
export function isPartial({ records, captures }: Come, isGone: (gateway: string) => boolean): boolean {
  const exchanges = exchangesOf(records.filter((record): record is ExchangeRecord => record.kind !== 'interrupted'));
  const answered = exchanges.filter(({ response }) => response && response.data.status !== null);
  const captured = answered.filter(({ received }) => {
    const { capture, gateway = '' } = received?.data ?? {};
    return capture !== undefined && !hidesContent(capture) && !isGone(gateway);
  });
  return captures < captured.length || answered.some(({ received, forwarded }) => !received || !forwarded);
}
