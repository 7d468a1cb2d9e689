import { compareIds } from '@loom/shared/entry-id.ts';
import { type DataOf, decodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { tokensOf } from '@loom/shared/tokens.ts';
import { costOf, exact, type Prices } from '../../services/trace-grouper/src/core/prices.ts';
import type { Account, SeenTurn } from './caller.ts';

/** What a turn came to. */
export interface Sums {
  calls: number;
  prompt: number;
  completion: number;
  cacheRead: number;
  cacheWrite: number;
  costUsd: number;
}

type Ended = LoomEvent<'turn.ended'>;
/** The end of an exchange, and the entry that told of it first. */
type End = DataOf<'response.completed' | 'response.failed'> & { entry: string };

/**
 * What was published, entry by entry, as any reader of the streams sees it, against what clients saw. It reads along, so
 * that nothing which is trimmed or lost later escapes it.
 */
export class Ledger {
  readonly #prices: Prices;
  /** By the API's request id: the events that say that it was answered, each once. */
  readonly #answers = new Map<string, Map<string, End>>();
  /** The same, by turn. */
  readonly #endsOf = new Map<string, End[]>();
  /** By type and request. */
  readonly #told = new Map<string, Set<string>>();
  readonly #requestsOf = new Map<string, Set<string>>();
  readonly #ended = new Map<string, Map<string, Ended & { entry: string }>>();
  /** How many entries say that this line was written. */
  readonly #lines = new Map<string, number>();
  readonly #alerts: LoomEvent[] = [];
  deadLetters = 0;

  constructor(prices: Prices) {
    this.#prices = prices;
  }

  /** Takes an entry of any stream. */
  take(stream: string, entry: string, fields: string[]): void {
    if (stream === 'dead-letters') {
      this.deadLetters += 1;
      return;
    }
    let event: LoomEvent;
    try {
      event = decodeEvent(fields);
    } catch {
      // What the faults have put there themselves.
      return;
    }
    switch (event.type) {
      case 'request.received':
      case 'request.forwarded': {
        const { requestId, trace, class: kind } = event.data;
        setOf(this.#told, `${event.type} ${requestId}`).add(event.id);
        if (trace && kind === 'main') setOf(this.#requestsOf, `${trace.traceId}-${trace.rootSpanId}`).add(requestId);
        break;
      }
      case 'response.completed':
      case 'response.failed': {
        const { upstreamRequestId, trace, requestId } = event.data;
        if (trace) setOf(this.#requestsOf, `${trace.traceId}-${trace.rootSpanId}`).add(requestId);
        const answers = this.#answers.get(upstreamRequestId ?? requestId) ?? new Map<string, End>();
        this.#answers.set(upstreamRequestId ?? requestId, answers);
        if (answers.has(event.id)) break;
        const end = { ...event.data, entry };
        answers.set(event.id, end);
        if (trace) listOf(this.#endsOf, `${trace.traceId}-${trace.rootSpanId}`).push(end);
        break;
      }
      case 'turn.ended': {
        const ended = this.#ended.get(event.data.turn) ?? new Map<string, Ended & { entry: string }>();
        this.#ended.set(event.data.turn, ended);
        if (!ended.has(event.id)) ended.set(event.id, { ...event, entry });
        break;
      }
      case 'transcript.line':
        this.#lines.set(event.data.uuid ?? '', (this.#lines.get(event.data.uuid ?? '') ?? 0) + 1);
        break;
      default:
        if (stream === 'alerts') this.#alerts.push(event);
    }
  }

  /** How many events were dropped because a disk was full, as it was told. */
  get droppedBySpool(): number {
    return sum(this.#alerts.map((alert) => (alert.type === 'spool.full' ? alert.data.dropped : 0)));
  }

  /** How many entries a group lost, as it was told. */
  lostBy(group: string): number {
    const of = (alert: LoomEvent) => (alert.type === 'stream.gap' && alert.data.group === group ? alert.data.lost : 0);
    return sum(this.#alerts.map(of));
  }

  /** How often Redis was told to have lost what it held. */
  get emptied(): number {
    return new Set(this.#alerts.filter(({ type }) => type === 'redis.emptied').map(({ id }) => id)).size;
  }

  /** How many events each turn lacks of the three that each of its answers has; 0 where each was asked for once. */
  lackOf({ turns }: Account): Map<string, number> {
    return new Map(
      turns.map(({ key, answers }) => {
        const requests = [...(this.#requestsOf.get(key) ?? [])];
        const told = ['request.received', 'request.forwarded'].map(
          (type) => requests.filter((id) => this.#told.has(`${type} ${id}`)).length,
        );
        const ends = answers.filter((answer) => this.#answers.has(answer)).length;
        return [key, 3 * answers.length - sum([...told, ends])];
      }),
    );
  }

  /** The events of exchanges that are not there though a client has the whole answer, or are there twice. */
  missingEvents({ turns }: Account): string[] {
    return turns.flatMap(({ key, answers }) =>
      answers.flatMap((answer) => {
        const ends = [...(this.#answers.get(answer)?.values() ?? [])];
        const [first] = ends;
        const faults = ends.length === 1 ? [] : [`${key}: ${ends.length} ends of ${answer}`];
        if (!first) return [...faults, `${key}: what was asked by ${answer}`, `${key}: what went out of ${answer}`];
        for (const type of ['request.received', 'request.forwarded']) {
          const count = this.#told.get(`${type} ${first.requestId}`)?.size ?? 0;
          if (count !== 1) faults.push(`${key}: ${count} ${type} of ${answer}`);
        }
        return faults;
      }),
    );
  }

  /** Turns that are not told of once, or come to other sums than the same turns did undisturbed. */
  wrongTurns({ turns }: Account, reference: ReadonlyMap<string, Sums>): string[] {
    return turns.flatMap((turn) => {
      const ended = [...(this.#ended.get(turn.key)?.values() ?? [])];
      if (ended.length !== 1) return [`${turn.key}: ended ${ended.length} times`];
      const [end] = ended as [Ended & { entry: string }];
      const { data } = end;
      const expected = reference.get(turn.shape);
      const got = this.#sumsOf(turn, end);
      const said = [data.answer === turn.text ? [] : [`${turn.key}: the answer is ${JSON.stringify(data.answer)}`]];
      const told = (this.#requestsOf.get(turn.key)?.size ?? 0) - this.#sort(turn.key, end.entry).late.length;
      if (data.calls.main !== told) said.push([`${turn.key}: ${data.calls.main} calls of ${told}`]);
      if (JSON.stringify(got) !== JSON.stringify(expected))
        said.push([`${turn.key}: ${JSON.stringify(got)}, undisturbed ${JSON.stringify(expected)}`]);
      return said.flat();
    });
  }

  /** Lines of transcripts that were not published once. */
  missingLines({ lines }: Account): string[] {
    return lines
      .filter((uuid) => this.#lines.get(uuid) !== 1)
      .map((uuid) => `line ${uuid}: ${this.#lines.get(uuid) ?? 0}`);
  }

  /** What each turn came to. Throws when one is not told of. */
  sums({ turns }: Account): Map<string, Sums> {
    return new Map(
      turns.map((turn) => {
        const [ended] = this.#ended.get(turn.key)?.values() ?? [];
        if (!ended) throw new Error(`expected the end of the turn ${turn.key}, got none`);
        return [turn.shape, this.#sumsOf(turn, ended)];
      }),
    );
  }

  /**
   * What `turn.ended` says, without what the API has billed besides: answers, or pieces of them, that no client got whole
   * and therefore asked for again. Where that came only after the turn had ended, the first answer stands for it.
   */
  #sumsOf({ key, answers }: SeenTurn, { entry, data: { tokens, costUsd } }: Ended & { entry: string }): Sums {
    const { total: _, ...counted } = tokens;
    const sums: Sums = { calls: answers.length, ...pick(counted), costUsd: costUsd ?? Number.NaN };
    const whole = new Set<string | null>(answers);
    const { inTurn, late } = this.#sort(key, entry);
    const besides = inTurn.filter(({ upstreamRequestId }) => !whole.has(upstreamRequestId));
    for (const { usage } of late.filter(({ upstreamRequestId }) => whole.has(upstreamRequestId))) {
      const same = besides.findIndex((other) => JSON.stringify(other.usage) === JSON.stringify(usage));
      if (same >= 0) besides.splice(same, 1);
    }
    for (const { usage, model } of besides) {
      if (!usage) continue;
      const billed = pick(tokensOf(usage));
      for (const name of Object.keys(billed) as (keyof typeof billed)[]) sums[name] -= billed[name];
      sums.costUsd = exact(sums.costUsd - (costOf(usage, model, this.#prices)?.total ?? 0));
    }
    return sums;
  }

  /** The exchanges of a turn that were told of before its end was, and those that are told of by themselves. */
  #sort(key: string, entry: string): { inTurn: End[]; late: End[] } {
    const ends = this.#endsOf.get(key) ?? [];
    const isBefore = (end: End) => compareIds(end.entry, entry) < 0;
    return { inTurn: ends.filter(isBefore), late: ends.filter((end) => !isBefore(end)) };
  }
}

function pick({ prompt, completion, cacheRead, cacheWrite }: Omit<Sums, 'calls' | 'costUsd'>) {
  return { prompt, completion, cacheRead, cacheWrite };
}

function setOf(sets: Map<string, Set<string>>, name: string): Set<string> {
  const set = sets.get(name) ?? new Set();
  sets.set(name, set);
  return set;
}

function listOf<Value>(lists: Map<string, Value[]>, name: string): Value[] {
  const list = lists.get(name) ?? [];
  lists.set(name, list);
  return list;
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
