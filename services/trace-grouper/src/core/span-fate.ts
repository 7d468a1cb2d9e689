import type { GatewayRecord } from '@loom/shared/gateway-record.ts';
import type { Call } from './turn.ts';

/** What is known of a gateway: it is there, has left in good order, or is gone without a word. */
export type GatewayStanding = { state: 'present' | 'left'; record: GatewayRecord } | { state: 'gone' };

/** What the gateway publishes of an exchange after its end has a span, too; milliseconds. */
const AFTERWARDS_MS = 1_000;

/**
 * What became of the spans that a gateway made for a call: with the collector; lost, so that somebody else has to send
 * them; or not known yet, but the gateway, if it lives, will say so within seconds.
 *
 * @example
 * fateOf(call, { state: 'gone' }); // 'lost'
 */
export function fateOf({ endedAt }: Call, standing: GatewayStanding): 'sent' | 'lost' | 'unknown' {
  if (endedAt === undefined || standing.state === 'gone') return 'lost';
  const { spans } = standing.record;
  if (!spans || endedAt <= spans.lostUntil) return 'lost';
  return standing.state === 'left' || endedAt + AFTERWARDS_MS <= spans.sentUntil ? 'sent' : 'unknown';
}
