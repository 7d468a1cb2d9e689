import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@loom/shared/log.ts';
import { errorTypeOf, reasonOf } from '@loom/shared/redaction.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { suppressTracing } from '@loom/shared/telemetry.ts';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { type Job, WaitingError, Worker } from 'bullmq';
import { type Lease, QUEUE } from './lease-queue.ts';

export interface LeasesOptions {
  streams: Streams;
  log: Logger;
  /** How many sessions this process holds at a time. */
  concurrency: number;
  /**
   * Watches a session. Resolves when the lease may end, because nothing new comes, or soon after the signal; rejects for
   * a fault of its own, and is then called again after a while, here or in another process.
   */
  hold: (session: string, signal: AbortSignal) => Promise<void>;
}

// A lock that nobody renews ends after 7 s, and the second of two sweeps, each at most 3 s late, gives its session to
// another replica: a killed process' sessions are watched again after 13 s at the most, 14 s if that one pauses.
const LOCK_MS = 7_000;
const SWEEP_MS = 3_000;

const STOP_MS = 4_000;
const RETRY_MS = 1_000;
/** Less than the 7 s of silence after which a connection that waits for a delayed job would be given up. */
const MAX_RETRY_MS = 5_000;

/** Why a held session's signal is aborted: somebody else may hold it by now, or nobody knows of it any more. */
export const LOST = 'lost';
const STOPPING = 'stopping';
const SHARING = 'sharing';

/** How long the other replicas have to take what this one hands over, before it takes leases again, milliseconds. */
const TAKEN_MS = 500;

/**
 * Who watches which session: a BullMQ job each, active for as long as a process holds it. A lease passes on when its
 * holder stops (at once) or dies (within 14 s), and a session never fails for that, however often it happens.
 *
 * Two holders at a time do no harm, they only read twice: publishing is a compare-and-set.
 *
 * @example
 * const leases = new Leases({ streams, log, concurrency: 1_000, hold: (session, signal) => watch(session, signal) });
 * leases.start();
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #worker: Worker<Lease>;
  /** By the job's id: of a lease that was lost and comes back there are two for a while. */
  readonly #holdings = new Map<string, { session: string; ended: Promise<void> }>();
  #isStopping = false;
  #isSharing = false;
  /** For how many reasons it takes no leases now. */
  #pauses = 0;
  /** What Redis refused with since a lease was taken last. */
  #trouble: string | undefined;

  constructor(options: LeasesOptions) {
    this.#options = options;
    const { streams, concurrency } = options;
    this.#worker = new Worker(
      QUEUE,
      (job, token, signal) => this.#noted(job, this.#hold(job, token as string, signal as AbortSignal)),
      {
        connection: streams.blocking(),
        prefix: streams.key('bull'),
        autorun: false,
        concurrency,
        lockDuration: LOCK_MS,
        stalledInterval: SWEEP_MS,
        maxStalledCount: 1_000_000,
        drainDelay: 1,
        runRetryDelay: RETRY_MS,
        settings: { backoffStrategy: (attempts = 1) => Math.min(RETRY_MS * 2 ** (attempts - 1), MAX_RETRY_MS) },
      },
    );
    this.#worker.on('lockRenewalFailed', (ids) => {
      for (const id of ids) this.#worker.cancelJob(id, LOST);
    });
    this.#worker.on('failed', (job, error) => {
      const { session } = job?.data ?? {};
      options.log.error('a watch failed, and is tried again', { session, attempt: job?.attemptsMade, error });
    });
    this.#worker.on('error', (error) => this.#onError(error));
  }

  /** Takes leases from now on. */
  start(): void {
    context.with(suppressTracing(ROOT_CONTEXT), () => {
      this.#worker.run().catch((error: Error) => this.#onError(error));
    });
  }

  /** Hands every session over and takes no more. Ends within 4 s; what was not handed over by then passes on by itself. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    // Closing first: else what is put back is taken again right here. By force while Redis is away: BullMQ would wait
    // for its connection to end, which ioredis never says of one that was about to reconnect.
    const closed = this.#worker.close(!this.#options.streams.connected).catch((error: Error) => this.#onError(error));
    this.#worker.cancelAllJobs(STOPPING);
    // Closing by force waits for nobody.
    const ended = Promise.allSettled([closed, ...[...this.#holdings.values()].map((holding) => holding.ended)]);
    await Promise.race([ended, delay(STOP_MS, undefined, { ref: false })]);
  }

  /**
   * Hands some sessions over to the other replicas. Until these have had a moment to take them, this one takes none; what
   * nobody took may come back.
   */
  async share(sessions: readonly string[]): Promise<void> {
    const chosen = new Set(sessions);
    const shared = [...this.#holdings].filter(([, { session }]) => chosen.has(session));
    await this.#paused(async () => {
      this.#isSharing = true;
      for (const [id] of shared) this.#worker.cancelJob(id, SHARING);
      await Promise.allSettled(shared.map(([, { ended }]) => ended));
      await delay(TAKEN_MS, undefined, { ref: false });
      this.#isSharing = false;
    });
  }

  async #paused(action: () => Promise<unknown>): Promise<void> {
    this.#pauses += 1;
    await this.#worker.pause(true);
    await action();
    this.#pauses -= 1;
    if (this.#pauses === 0 && !this.#isStopping) await this.#worker.resume();
  }

  #noted({ id = '', data: { session } }: Job<Lease>, holding: Promise<void>): Promise<void> {
    const ended = holding.finally(() => this.#holdings.delete(id));
    this.#holdings.set(id, { session, ended });
    return ended;
  }

  async #hold(job: Job<Lease>, token: string, signal: AbortSignal): Promise<void> {
    const { log, hold, streams } = this.#options;
    const { session } = job.data;
    // A worker that takes no more may still be given a job that it waited for, even one that was put back right here.
    if (this.#isStopping || this.#isSharing) return putBack(job, token);
    this.#trouble = undefined;
    try {
      await hold(session, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      log.debug('a watch failed on its way out', { session, error });
    }
    if (!signal.aborted) return;
    if (signal.reason === LOST || !streams.connected) {
      log.warn(signal.reason === LOST ? 'lease lost' : 'lease left to lapse', { session });
      throw new WaitingError();
    }
    log.info('lease handed over', { session });
    await putBack(job, token);
  }

  /** An outage is told of by whoever owns the connection, and a lost lock by the session that it is about. */
  #onError(error: Error): void {
    const isRefusal = errorTypeOf(error) === 'ReplyError';
    // Redis' word for it; the rest says which of BullMQ's scripts it was.
    const [code] = reasonOf(error).split(' ', 1);
    const isTold = !this.#options.streams.connected || /\block\b/.test(error.message);
    const isRepeated = isRefusal && code === this.#trouble;
    this.#options.log[isTold || isRepeated ? 'debug' : 'warn']('trouble with the leases', { error });
    if (!isRefusal) return;
    this.#trouble = code;
    // Redis refuses, because it is full perhaps; and BullMQ asks again at once, a thousand times a second.
    if (this.#pauses === 0)
      this.#paused(() => delay(RETRY_MS, undefined, { ref: false })).catch((cause: Error) => this.#onError(cause));
  }
}

/** For somebody else to take; WaitingError is BullMQ's word for: not done, and no more to be done about it here. */
async function putBack(job: Job<Lease>, token: string): Promise<never> {
  await job.moveToWait(token);
  throw new WaitingError();
}
