import { setTimeout as delay } from 'node:timers/promises';
import { connectRedis } from '@loom/shared/connection.ts';
import type { Logger } from '@loom/shared/log.ts';
import { type JobsOptions, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';

// BullMQ blocks for up to 10 s, longer than our connections believe in one that says nothing.
const SILENCE_MS = 15_000;
const CLOSE_MS = 300;
const MINUTE_MS = 60_000;

export interface QueueOptions {
  url: string;
  /** BullMQ's own: before its keys. */
  prefix: string;
  queue: string;
  log: Logger;
  /** How many jobs at a time. */
  concurrency: number;
  /** At which level a failure is logged. Default warn; for failures that somebody else tells of, debug. */
  failureLevel?: 'warn' | 'debug';
  /** How long a job that failed waits at most before it is tried again, milliseconds. */
  maxBackoffMs?: number;
}

/**
 * A queue of jobs that survive restarts, one of a name at a time among all replicas: each job is the name of a turn. One
 * that fails is tried again for as long as it takes. A replica that is killed leaves its jobs to the others, within 15 s.
 */
export class Jobs {
  readonly #options: QueueOptions;
  readonly #connection: Redis;
  readonly #queue: Queue;
  #worker: Worker | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
    const { url, prefix, queue, log } = options;
    this.#connection = connectRedis(url, 'patient');
    // Copied by what BullMQ duplicates it into.
    this.#connection.options.socketTimeout = SILENCE_MS;
    // The command connection says that Redis is away; once is enough.
    this.#connection.on('error', (error) => log.debug('the queue waits for Redis', { error }));
    this.#queue = new Queue(queue, { prefix, connection: this.#connection, streams: { events: { maxLen: 100 } } });
    this.#queue.on('error', (error) => log.debug('the queue waits for Redis', { error }));
  }

  /** Adds a job, as BullMQ has it. */
  async add(turn: string, options: JobsOptions): Promise<void> {
    await this.#queue.add(
      'turn',
      { turn },
      {
        // A finished job that is kept makes the next one of its name a silent nothing.
        removeOnComplete: true,
        removeOnFail: { age: 24 * 60 * 60 },
        attempts: 1_000_000,
        backoff: { type: 'custom' },
        ...options,
      },
    );
  }

  /** How many jobs wait, are at work, or will be. */
  async count(): Promise<number> {
    return this.#queue.getJobCountByTypes('waiting', 'active', 'delayed', 'prioritized');
  }

  /** Works off the jobs from now on; one whose `work` rejects comes again. */
  start(work: (turn: string) => Promise<void>): void {
    const { prefix, queue, log, concurrency, failureLevel = 'warn', maxBackoffMs = MINUTE_MS } = this.#options;
    this.#worker = new Worker<{ turn: string }>(queue, ({ data }) => work(data.turn), {
      prefix,
      connection: this.#connection,
      concurrency,
      // A turn must never fail for the deaths of those who had it.
      maxStalledCount: 1_000_000,
      lockDuration: 10_000,
      stalledInterval: 5_000,
      drainDelay: 1,
      settings: { backoffStrategy: (attempts = 1) => Math.min(1_000 * 2 ** (attempts - 1), maxBackoffMs) },
    });
    this.#worker.on('error', (error) => log.debug('the queue waits for Redis', { error }));
    this.#worker.on('failed', (job, error) =>
      log.log(failureLevel, 'tried again later', { turn: job?.data.turn, attempt: job?.attemptsMade, error }),
    );
  }

  /** Takes no more jobs, and gives those at work 300 ms; what is cut off then, another replica takes over. */
  async close(): Promise<void> {
    const ended = Promise.all([this.#worker?.close(), this.#queue.close()]);
    // Redis away: nothing of it can end in order, and all of it is where it was.
    await Promise.race([ended.catch(() => {}), delay(CLOSE_MS, undefined, { ref: false })]);
    this.#connection.disconnect();
  }
}
