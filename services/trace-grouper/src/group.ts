import type { Draft, LoomEvent } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { TurnStore } from './adapters/turn-store.ts';
import type { TurnTimer } from './adapters/turn-timer.ts';
import { alarmOf } from './core/alarm.ts';
import { interruptionOf } from './core/interruption.ts';
import { isLooseKey, isWorking, looseKey, placeOf } from './core/place.ts';
import { quotaOf } from './core/quota.ts';
import { arrivalOf, type ExchangeEvent, type Intake, type PlacedRecord, recordOf } from './core/record.ts';
import type { TurnLimits } from './core/turn-end.ts';
import { turnStarted } from './core/turn-events.ts';
import type { Counters } from './counters.ts';

export interface GroupOptions {
  store: TurnStore;
  timer: TurnTimer;
  counters: Counters;
  log: Logger;
  limits: TurnLimits;
  intake: Intake;
}

/** Puts each event where it belongs, and sets the alarm of its turn. Events may come twice and in any order. */
export class Group {
  readonly #options: GroupOptions;

  constructor(options: GroupOptions) {
    this.#options = options;
  }

  /** Takes an event of an exchange: a record of its turn, or of an exchange by itself where it has none. */
  async take(event: ExchangeEvent): Promise<Draft[]> {
    const { trace, requestId } = event.data;
    // A gateway that does not say where it belongs is older than turns.
    if (!trace) return [];
    const { store, intake } = this.#options;
    const record = recordOf(event, intake);
    const key = placeOf(trace, requestId);
    if (record.kind === 'captured') {
      if (!intake.withContent) return [];
      let taken = await store.addCapture(key, record);
      if (taken === 'late' && !isLooseKey(key)) taken = await store.addCapture(looseKey(trace, requestId), record);
      if (taken === 'full') this.#options.counters.omitted += 1;
      return [];
    }
    return this.#add(key, record);
  }

  /** Keeps what an answer says of the account's quota. */
  async keepQuota({ data, time }: LoomEvent<'response.completed' | 'response.failed'>): Promise<void> {
    const quota = quotaOf(time, data.upstreamRequestId, data.rateLimits);
    if (quota) await this.#options.store.writeQuota(quota);
  }

  /** Takes a line of a session's transcript: the only one to say that the user stopped a tool. */
  async takeLine(event: LoomEvent<'transcript.line'>): Promise<void> {
    const { store, timer, limits } = this.#options;
    const time = interruptionOf(event);
    if (time === undefined) return;
    const { id, subject: session } = event;
    const key = await store.findTurnAt(session, time);
    if (!key) return;
    const taken = await store.add(key, { kind: 'interrupted', session, time, data: { id } });
    if (taken.state !== 'late') await timer.set(key, { afterMs: limits.graceMs, moves: true });
  }

  async #add(key: string, record: PlacedRecord): Promise<Draft[]> {
    const { store, timer, limits, counters } = this.#options;
    const counts = isWorking(record.data.class);
    const opens = counts && !isLooseKey(key);
    const taken = await store.add(key, record, { opens, counts, startedAt: arrivalOf(record) });
    if (taken.state === 'late') return this.#addLate(key, record);
    await timer.set(key, alarmOf(key, record, limits));
    if (!taken.isOpener) return [];

    if (taken.state === 'added') counters.opened += 1;
    // What the user types next ends all waiting for an older turn.
    for (const older of await store.openBefore(record.session, key)) {
      await timer.set(older, { afterMs: limits.graceMs, moves: true });
    }
    return [turnStarted(record)];
  }

  /** The turn has ended without this exchange: it is told of by itself, in the turn's trace. */
  async #addLate(key: string, record: PlacedRecord): Promise<Draft[]> {
    const { counters, log } = this.#options;
    const { trace, requestId } = record.data;
    // Of an exchange by itself there is nothing later than its end.
    if (!trace || isLooseKey(key)) return [];
    if (record.kind === 'response') {
      counters.late += 1;
      log.info('the turn had ended without this exchange', { turn: key, requestId, class: record.data.class });
    }
    return this.#add(looseKey(trace, requestId), record);
  }
}
