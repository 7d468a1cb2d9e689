import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Draft, LoomEvent } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { suppressTracing } from '@loom/shared/telemetry.ts';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import pLimit from 'p-limit';
import { LeaseQueue } from './adapters/lease-queue.ts';
import { Leases, LOST } from './adapters/leases.ts';
import { LineStore } from './adapters/line-store.ts';
import { Replicas } from './adapters/replicas.ts';
import { SessionFiles } from './adapters/session-files.ts';
import { WakeUps } from './adapters/wake-ups.ts';
import { WatchedSessions } from './adapters/watched-sessions.ts';
import type { Config } from './config.ts';
import { surplusOf } from './core/fair-share.ts';
import { sightingOf } from './core/sighting.ts';
import { isSessionId } from './core/transcript-path.ts';
import { SessionWatch, type WatchCounters, type WatchGround } from './session-watch.ts';
import { createTailCounters } from './tail.ts';

/** The service's name, and its consumer group's. */
export const NAME = 'transcript-watcher';

/** How many files are read, or looked at, at a time. */
const AT_A_TIME = 8;
/** How often every file is looked at, whatever the system told, milliseconds. */
const SWEEP_MS = 2_000;
const REPORT_MS = 60_000;
/** How often the replicas compare what they hold. */
const SHARE_MS = 2_000;

/** The part of a process that watches: it is told of requests, and holds sessions. */
export class Watcher {
  readonly counters: WatchCounters = { ...createTailCounters(), held: 0, refused: 0 };
  readonly #log: Logger;
  readonly #queue: LeaseQueue;
  readonly #leases: Leases;
  readonly #replicas: Replicas;
  readonly #ground: WatchGround;
  readonly #watches = new Map<string, { watch: SessionWatch; ended: Promise<unknown> }>();
  readonly #sweepMs: number;
  readonly #room: number;
  readonly #stopping = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();
  #sharing: Promise<void> = Promise.resolve();
  #isCrowded = false;

  constructor(config: Config, streams: Streams, log: Logger) {
    this.#log = log;
    const root = rootOf(config);
    const pollMs = config.LOOM_WATCH_POLL_MS;
    this.#sweepMs = pollMs ?? SWEEP_MS;
    this.#room = config.LOOM_WATCH_SESSIONS;
    this.#ground = {
      streams,
      log,
      watched: new WatchedSessions(streams),
      files: new SessionFiles(root),
      store: new LineStore(streams),
      // Polling is what the sweep does anyway, one look a file; Watchpack's own would list whole folders each time.
      wakeUps: pollMs === undefined ? new WakeUps(root, (session, file) => this.#wake(session, file)) : undefined,
      limit: pLimit(AT_A_TIME),
      counters: this.counters,
      from: config.LOOM_WATCH_FROM,
      idleMs: config.LOOM_WATCH_IDLE_MS,
    };
    this.#queue = new LeaseQueue(streams, log);
    // It may have come back empty.
    streams.onReady(() => this.#restoreAll());
    this.#replicas = new Replicas(streams);
    this.#leases = new Leases({
      streams,
      log,
      concurrency: this.#room,
      hold: (session, signal) => this.#hold(session, signal),
    });
  }

  /** Takes sessions from now on. */
  start(): void {
    // What is done for a session for hours belongs to no request's trace.
    context.with(suppressTracing(ROOT_CONTEXT), () => {
      this.#leases.start();
      this.#sweeping = this.#sweep();
      this.#sharing = this.#share();
    });
  }

  /** Sees to it that the session of a request is watched, by whichever replica. Rejects when Redis does not take that. */
  async see(event: LoomEvent<'request.received'>, { deliveries }: { deliveries: number }): Promise<Draft[]> {
    const sighting = sightingOf(event);
    if (!sighting) return [];
    const { session, refusedHint } = sighting;
    const { isHeld, isNewHint } = await this.#ground.watched.see(sighting);
    await this.#queue.want(session, isHeld);

    // Noted, and not told of: whoever had the event before may have died in between.
    const isToBeTold = isNewHint || (refusedHint !== undefined && deliveries > 1);
    if (!isToBeTold) return [];
    this.counters.refused += 1;
    this.#log.warn('the hint is no transcript of its session', { session });
    return [{ type: 'transcript.refused', subject: session, data: { reason: 'hint' } }];
  }

  /** Hands the sessions over to the other replicas; takes at most 4 s. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#leases.stop();
    await Promise.all([this.#sweeping, this.#sharing]);
    this.#ground.wakeUps?.close();
    this.#log.info('watched', { counters: this.counters });
  }

  async #hold(session: string, signal: AbortSignal): Promise<void> {
    if (!isSessionId(session)) throw new Error(`expected a session id in a lease, got ${JSON.stringify(session)}`);
    // A lease that was lost comes back, perhaps before the watch that lost it has ended.
    while (this.#watches.has(session)) await this.#watches.get(session)?.ended;
    const watch = new SessionWatch(session, this.#ground, signal);
    const running = watch.run();
    const ended = running.catch(() => {}).finally(() => this.#watches.delete(session));
    this.#watches.set(session, { watch, ended });
    await running;
    if (signal.reason === LOST) await this.#restore(session, watch);
  }

  async #restoreAll(): Promise<void> {
    for (const [session, { watch }] of this.#watches) await this.#restore(session, watch);
  }

  /** A session that Redis forgot goes on without waiting for its next request. */
  async #restore(session: string, watch: SessionWatch): Promise<void> {
    try {
      if (!(await watch.restore())) return;
      await this.#queue.want(session, false);
      this.#log.info('Redis had lost a session, and was told of it', { session });
    } catch (error) {
      // Redis is away again, or refuses: the lease that is lost then tries again, or the next request does.
      this.#log.debug('a session was not restored', { session, error });
    }
  }

  /** Sees to it that each replica holds about as many sessions, soon after one has come: those idle longest move. */
  async #share(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const own = { held: this.#watches.size, room: this.#room };
        const surplus = surplusOf(own, await this.#replicas.report(own));
        const idlest = [...this.#watches].sort(([, a], [, b]) => a.watch.activeAt - b.watch.activeAt);
        if (surplus > 0) await this.#leases.share(idlest.slice(0, surplus).map(([session]) => session));
      } catch (error) {
        // Redis is away or refuses: whoever holds a session keeps it.
        this.#log.debug('the sessions were not shared', { error });
      }
      await delay(SHARE_MS, undefined, { signal }).catch(() => {});
    }
    // Who is silent is soon taken for gone.
    await this.#replicas.leave().catch(() => {});
  }

  #wake(session: string, file: string): void {
    this.#watches.get(session)?.watch.wake(file);
  }

  async #sweep(): Promise<void> {
    const { signal } = this.#stopping;
    let reportedAt = performance.now();
    let reported = '';
    for (;;) {
      await delay(this.#sweepMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      await this.#ground.files.refresh();
      // A few at a time: thousands of looks at once would keep the readers waiting.
      const watches = [...this.#watches.values()];
      for (let at = 0; at < watches.length; at += AT_A_TIME) {
        await Promise.all(watches.slice(at, at + AT_A_TIME).map(({ watch }) => watch.sweep()));
      }
      await this.#tellOfCrowd();
      const report = JSON.stringify(this.counters);
      if (report === reported || performance.now() - reportedAt < REPORT_MS) continue;
      this.#log.info('watching', { counters: this.counters });
      reportedAt = performance.now();
      reported = report;
    }
  }

  /** Sessions that nobody has room for are watched by nobody: an operator has to know. */
  async #tellOfCrowd(): Promise<void> {
    const isFull = this.#watches.size >= this.#room;
    // While Redis is away nothing waits in it.
    const waiting = isFull ? await this.#queue.countWaiting().catch(() => 0) : 0;
    if (waiting > 0 && !this.#isCrowded) {
      this.#log.warn('sessions wait that no replica has room for', { count: waiting });
    }
    this.#isCrowded = waiting > 0;
  }
}

/** The folder of the transcripts. */
export function rootOf({ CLAUDE_DATA_DIR }: Pick<Config, 'CLAUDE_DATA_DIR'>): string {
  return join(CLAUDE_DATA_DIR, 'projects');
}

/** Says so when there is no such folder. It may come later: a mount, or the client's first start. */
export async function warnWithoutFolder({ CLAUDE_DATA_DIR: folder }: Config, log: Logger): Promise<void> {
  // Not there, or not to be looked at: either way nothing is found in it now.
  const isFolder = await lstat(folder).then(
    (stats) => stats.isDirectory() || stats.isSymbolicLink(),
    () => false,
  );
  if (!isFolder) log.warn(`CLAUDE_DATA_DIR is no folder; it is looked for again every few seconds`, { file: folder });
}
