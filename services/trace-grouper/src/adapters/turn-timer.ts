import type { Alarm } from '../core/alarm.ts';
import { Jobs, type QueueOptions } from './jobs.ts';

/** One alarm for each turn, in Redis, whoever set it and whoever it wakes. */
export class TurnTimer {
  readonly #jobs: Jobs;

  constructor(options: Omit<QueueOptions, 'queue' | 'concurrency'>) {
    this.#jobs = new Jobs({ ...options, queue: 'turn-end', concurrency: 8, maxBackoffMs: 30_000 });
  }

  /**
   * Sets a turn's alarm. One that is set while the turn is being judged wakes it again afterwards, so none is lost that
   * moves; another needs not be kept then, because what is judged open is given its next alarm.
   */
  async set(turn: string, { afterMs, moves }: Alarm): Promise<void> {
    const deduplication = { id: turn, ...(moves && { replace: true, keepLastIfActive: true }) };
    await this.#jobs.add(turn, { delay: Math.max(1, Math.ceil(afterMs)), deduplication });
  }

  /** How many turns have an alarm: those that have not ended. */
  count(): Promise<number> {
    return this.#jobs.count();
  }

  /** Wakes turns from now on. */
  start(judge: (turn: string) => Promise<void>): void {
    this.#jobs.start(judge);
  }

  close(): Promise<void> {
    return this.#jobs.close();
  }
}
