import { isLooseKey, isWorking } from './place.ts';
import type { ExchangeRecord } from './record.ts';
import { outcomeOf, type TurnLimits } from './turn-end.ts';

/** When a turn is to be judged. */
export interface Alarm {
  afterMs: number;
  /** Whether it takes the place of the one that is set; else that one stays, sooner or later. */
  moves: boolean;
}

/**
 * When the turn of a new record is to be judged: after the grace where the record may be the turn's last, else when it
 * has been silent for long. What the alarm finds is for `judge`; one that comes too early is set anew.
 */
export function alarmOf(key: string, record: ExchangeRecord, { graceMs, idleMs }: TurnLimits): Alarm {
  const idle = { afterMs: idleMs, moves: false };
  if (record.kind !== 'response') return idle;
  if (isLooseKey(key)) return { afterMs: graceMs, moves: true };
  const { endReason = 'complete', stopReason } = record.data;
  const mayBeLast = isWorking(record.data.class) && outcomeOf({ endReason, stopReason }) !== undefined;
  return mayBeLast ? { afterMs: graceMs, moves: true } : idle;
}
