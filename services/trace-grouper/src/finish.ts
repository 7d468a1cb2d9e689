import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { contextOf } from '@loom/shared/telemetry.ts';
import { turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { type Context, context } from '@opentelemetry/api';
import type { Gateways } from './adapters/gateways.ts';
import { NotAccepted, type SpanExporter } from './adapters/span-exporter.ts';
import type { TurnExports } from './adapters/turn-exports.ts';
import type { TurnMetrics } from './adapters/turn-metrics.ts';
import type { Kept, TurnStore } from './adapters/turn-store.ts';
import type { TurnTimer } from './adapters/turn-timer.ts';
import { foldTurn } from './core/fold.ts';
import { isPartial } from './core/partial.ts';
import { isLooseKey, looseKey } from './core/place.ts';
import type { RenderOptions } from './core/render.ts';
import { fateOf } from './core/span-fate.ts';
import { exchangeSpans, spansOf } from './core/spans.ts';
import { summaryOf } from './core/summary.ts';
import { totalsOf } from './core/totals.ts';
import type { Call, Turn } from './core/turn.ts';
import { endTurn, judge, judgeLoose, type TurnLimits, type Verdict } from './core/turn-end.ts';
import { turnEnded } from './core/turn-events.ts';
import { type Counters, shown } from './counters.ts';

/** A gateway that is there, and does not say that its spans are sent, has trouble with the collector; milliseconds. */
const MAX_WAIT_MS = 60_000;
/** How soon a turn is judged again of which something may have come that nobody has handled yet; milliseconds. */
const BEHIND_LOOK_MS = 1_000;

export interface FinishOptions {
  streams: Streams;
  store: TurnStore;
  /** How old the oldest event is that has not been handled, milliseconds; see `backlogMs`. */
  behindMs: () => Promise<number>;
  gateways: Gateways;
  timer: TurnTimer;
  exports: TurnExports;
  exporter: SpanExporter;
  metrics: TurnMetrics;
  counters: Counters;
  log: Logger;
  limits: TurnLimits;
  render: RenderOptions;
}

/** Ends turns: decides, tells, and sends the spans; each step may be repeated, and is done once. */
export class Finish {
  readonly #options: FinishOptions;
  #collectorIsAway = false;

  constructor(options: FinishOptions) {
    this.#options = options;
  }

  /** Judges a turn. Open, it is given its next alarm; ended, `turn.ended` is published and its spans are on their way. */
  async judge(key: string): Promise<void> {
    const { store, exports } = this.#options;
    while (!(await this.#isDecided(key)));
    const kept = await store.read(key, true);
    if (kept?.ended === undefined) return;
    const turn = endedTurn(key, kept);
    if (turn && isTold(key, kept) && !kept.isPublished) await this.#publish(key, turn);
    await exports.add(key);
  }

  /** Sends the spans of an ended turn, and forgets it when the collector has them; rejects when it has not. */
  async send(key: string): Promise<void> {
    const { store, exporter, counters, log, render } = this.#options;
    const kept = await store.read(key, true);
    // It has lapsed, or was given up.
    if (!kept) return store.forget(key);
    const turn = endedTurn(key, kept);
    if (!turn) return;
    const lost = await this.#lostOf(turn, kept);
    try {
      await exporter.export((isTold(key, kept) ? spansOf : exchangeSpans)(turn, render, lost));
      counters.exported += 1;
      this.#noteCollector();
    } catch (error) {
      if (!(error instanceof NotAccepted)) {
        this.#noteCollector(error);
        await this.#hold(key, kept);
        throw error;
      }
      counters.dropped += 1;
      context.with(turnContext(turn), () =>
        log.error('the collector refuses the spans of a turn', { turn: key, error }),
      );
    }
    await store.forget(key);
  }

  /** False when the turn has changed meanwhile: then it is to be judged anew. */
  async #isDecided(key: string): Promise<boolean> {
    const { store, timer, metrics } = this.#options;
    const kept = await store.read(key, false);
    if (!kept || kept.ended !== undefined) return true;
    const turn = foldTurn(kept.records);
    if (!turn) return true;
    const verdict = await this.#verdict(key, turn, kept);
    if ('ended' in verdict) {
      const closed = turn.calls.filter(({ endedAt }) => endedAt !== undefined);
      const requestIds = closed.map(({ requestId }) => requestId);
      const isClosed = await store.close(key, kept.version, verdict.ended, requestIds);
      if (!isClosed) return false;
      const ended = isLooseKey(key) ? turn : endTurn(turn, verdict.ended);
      // One replica closes it, and it is closed once.
      if (isTold(key, kept)) metrics.turnEnded(ended);
      else metrics.exchangesEnded(ended);
      if (!isLooseKey(key)) await this.#release(kept, ended);
      return true;
    }
    // First the alarm, then the look: a record that came in between is seen, one that comes later sets its own.
    await timer.set(key, { afterMs: verdict.openMs, moves: true });
    return (await store.versionOf(key)) === kept.version;
  }

  /** What was published and not handled yet may be this turn's: it is judged as of the time before that. */
  async #verdict(key: string, turn: Turn, kept: Kept): Promise<Verdict> {
    const { store, gateways, limits, behindMs } = this.#options;
    const agoMs = await behindMs();
    const standings = await gateways.read(turn.calls.map(({ gateway }) => gateway));
    const isPresent = (gateway: string) => standings.get(gateway)?.state === 'present';
    const isGone = (gateway: string) => standings.get(gateway)?.state === 'gone';
    const standing = { quietMs: Math.max(0, kept.quietMs - agoMs), isPresent, isPartial: isPartial(kept, isGone) };
    const nextAt = isLooseKey(key) ? undefined : await store.findNextOpening(turn.session, key);
    const isSuperseded = nextAt !== undefined && nextAt < kept.readAt - agoMs;
    const verdict = isLooseKey(key)
      ? judgeLoose(turn, standing, limits)
      : judge(turn, { ...standing, isSuperseded }, limits);
    const isAllKnown = agoMs < BEHIND_LOOK_MS && isSuperseded === (nextAt !== undefined);
    return 'ended' in verdict || isAllKnown ? verdict : { openMs: BEHIND_LOOK_MS };
  }

  /** Lets what a turn has ended without go on by itself: its end is still to come. */
  async #release({ records }: Kept, { calls }: Turn): Promise<void> {
    const { store, timer, limits } = this.#options;
    const inTurn = new Set(calls.map(({ requestId }) => requestId));
    for (const record of records) {
      if (record.kind === 'interrupted' || inTurn.has(record.data.requestId) || !record.data.trace) continue;
      const key = looseKey(record.data.trace, record.data.requestId);
      await store.add(key, record);
      await timer.set(key, { afterMs: limits.idleMs, moves: false });
    }
  }

  /** The calls whose gateway has not sent its spans and never will; rejects as long as one may yet do so. */
  async #lostOf({ calls }: Turn, { quietMs }: Kept): Promise<Call[]> {
    const standings = await this.#options.gateways.read(calls.map(({ gateway }) => gateway));
    const fates = new Map(calls.map((call) => [call, fateOf(call, standings.get(call.gateway) ?? { state: 'gone' })]));
    const isKnown = fates.values().every((fate) => fate !== 'unknown');
    if (!isKnown && quietMs < MAX_WAIT_MS) throw new Error('expected its gateway to say that it has sent its spans');
    return calls.filter((call) => fates.get(call) !== 'sent');
  }

  async #publish(key: string, turn: Turn): Promise<void> {
    const { streams, store, counters, log, render } = this.#options;
    const draft = turnEnded(turn, render.prices);
    const summary = summaryOf(turn, draft.data, spansOf(turn, render), render.prices);
    const within = turnContext(turn);
    await streams.append([streams.seal(draft, within)], (multi) => store.notePublished(multi, key, summary));

    const { endReason: reason } = turn;
    counters.ended.set(reason, (counters.ended.get(reason) ?? 0) + 1);
    const { session, profile } = turn;
    const { durationMs } = draft.data;
    const told = { turn: key, session, profile, reason, durationMs, counters: shown(counters) };
    context.with(within, () => log.info('turn ended', told));
    const { unpriced } = totalsOf(turn.calls, render.prices);
    for (const model of unpriced) counters.unpriced.set(model, (counters.unpriced.get(model) ?? 0) + 1);
    // Its turn has no cost, which nobody may take for nothing.
    if (unpriced.length > 0) context.with(within, () => log.warn('a model has no price', { turn: key, unpriced }));
  }

  /** Many turns may wait for it: once is enough. */
  #noteCollector(error?: unknown): void {
    const { log } = this.#options;
    const isAway = error !== undefined;
    if (isAway !== this.#collectorIsAway)
      isAway ? log.warn('the collector is away, spans wait for it', { error }) : log.info('the collector is back');
    this.#collectorIsAway = isAway;
  }

  async #hold(key: string, { characters }: Kept): Promise<void> {
    const { store, counters, log } = this.#options;
    const dropped = await store.hold(key, characters, Date.now());
    if (dropped.length === 0) return;
    counters.dropped += dropped.length;
    log.error('too many turns wait for the collector, the oldest are given up', { dropped: dropped.length });
  }
}

/** A turn that somebody began. Auxiliary calls whose turn never came are exchanges by themselves. */
function isTold(key: string, { isOpened }: Kept): boolean {
  return isOpened && !isLooseKey(key);
}

function endedTurn(key: string, { records, ended }: Kept): Turn | undefined {
  const turn = foldTurn(records);
  if (!turn || ended === undefined) return undefined;
  return isLooseKey(key) ? turn : endTurn(turn, ended);
}

/** The turn's span: what is logged in it, or published from it, belongs to the turn. */
function turnContext({ traceId, rootSpanId }: Turn): Context {
  return contextOf(`00-${traceId}-${turnSpanIdOf(traceId, rootSpanId)}-01`);
}
