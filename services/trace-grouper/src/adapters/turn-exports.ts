import { Jobs, type QueueOptions } from './jobs.ts';

/** The turns whose spans the collector has not acknowledged, each tried until it has, at last every five minutes. */
export class TurnExports {
  readonly #jobs: Jobs;

  /** A queue of its own: a collector that is away must not hold up what the timer wakes. */
  constructor(options: Omit<QueueOptions, 'queue' | 'concurrency'>) {
    this.#jobs = new Jobs({
      ...options,
      queue: 'turn-export',
      concurrency: 4,
      failureLevel: 'debug',
      maxBackoffMs: 300_000,
    });
  }

  /** Adds a turn, if it is not there already. */
  add(turn: string): Promise<void> {
    return this.#jobs.add(turn, { jobId: turn });
  }

  start(send: (turn: string) => Promise<void>): void {
    this.#jobs.start(send);
  }

  close(): Promise<void> {
    return this.#jobs.close();
  }
}
