/** What became of the turns that this replica had to do with. */
export interface Counters {
  opened: number;
  /** By reason. */
  ended: Map<string, number>;
  /** Exchanges that a turn had ended without; their spans are sent by themselves. */
  late: number;
  /** Turns and exchanges whose spans the collector took. */
  exported: number;
  /** Those whose spans it never will: too many waited for it, or it refused them. */
  dropped: number;
  /** Turns whose cost is unknown, by the model that has no price. */
  unpriced: Map<string, number>;
  /** Contents that a turn had no room for. */
  omitted: number;
}

export function newCounters(): Counters {
  return { opened: 0, ended: new Map(), late: 0, exported: 0, dropped: 0, unpriced: new Map(), omitted: 0 };
}

/** As a log line shows them. */
export function shown({ ended, unpriced, ...counters }: Counters): Record<string, unknown> {
  return {
    ...counters,
    ended: [...ended].map(([reason, count]) => ({ reason, count })),
    unpriced: [...unpriced].map(([model, count]) => ({ model, count })),
  };
}
