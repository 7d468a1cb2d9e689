import { metrics, type ObservableResult } from '@opentelemetry/api';
import type { Prices } from '../core/prices.ts';
import type { Turn } from '../core/turn.ts';
import { chargesOf, chartedTool } from '../core/turn-figures.ts';

const SECONDS = [0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600];
const CALLS = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144];

/** What turns took and cost, over OTLP; nothing where this process exports none. */
export class TurnMetrics {
  readonly #meter = metrics.getMeter('loom.trace-grouper');
  readonly #cost = this.#meter.createCounter('loom.cost', { unit: 'USD', description: 'By model and class of call' });
  readonly #duration = this.#meter.createHistogram('loom.turn.duration', {
    unit: 's',
    description: 'From the prompt to the end of the turn, by how it ended',
    advice: { explicitBucketBoundaries: SECONDS },
  });
  readonly #calls = this.#meter.createHistogram('loom.turn.api_calls', {
    unit: '{call}',
    description: 'API calls of a turn, by how it ended',
    advice: { explicitBucketBoundaries: CALLS },
  });
  readonly #tools = this.#meter.createCounter('loom.tool.calls', { description: 'Tools that turns used' });
  readonly #open = this.#meter.createObservableGauge('loom.turn.open', { description: 'Turns that have not ended' });
  readonly #prices: Prices;

  constructor(prices: Prices) {
    this.#prices = prices;
  }

  /** Asks for the number of open turns whenever metrics are sent. The result ends it. */
  observeOpen(count: () => Promise<number>): () => void {
    const observe = async (result: ObservableResult) => result.observe(await count());
    this.#open.addCallback(observe);
    return () => this.#open.removeCallback(observe);
  }

  /** Takes down a turn that has just ended; to be called once for each. */
  turnEnded(turn: Turn): void {
    const ended = { end_reason: turn.endReason };
    this.#duration.record((turn.endedAt - turn.startedAt) / 1_000, ended);
    this.#calls.record(turn.calls.length, ended);
    for (const tool of turn.tools) this.#tools.add(1, { tool: chartedTool(tool), error: tool.isError });
    this.exchangesEnded(turn);
  }

  /** The same for exchanges of no turn: all there is to tell of them is what they cost. */
  exchangesEnded({ calls }: Turn): void {
    for (const { usd, ...of } of chargesOf(calls, this.#prices)) this.#cost.add(usd, of);
  }
}
