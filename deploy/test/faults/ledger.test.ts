import { describe, expect, test } from '@jest/globals';
import { encodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { readPrices } from '../../../services/trace-grouper/src/adapters/price-file.ts';
import { Account } from '../../faults/caller.ts';
import { Ledger, type Sums } from '../../faults/ledger.ts';

const prices = await readPrices();
const TRACE = { traceId: 'a'.repeat(32), rootSpanId: 'b'.repeat(16), spanId: 'c'.repeat(16), origin: 'hook' } as const;
const KEY = `${TRACE.traceId}-${TRACE.rootSpanId}`;
const exchange = { gateway: 'g', class: 'main', profile: 'alpha', model: 'claude-opus-5-5', trace: TRACE } as const;
const usage = { input_tokens: 10, output_tokens: 5, cache_read_input_tokens: 100, cache_creation_input_tokens: 20 };

let ids = 0;
const event = (type: LoomEvent['type'], data: object) =>
  ({
    ...{ type, id: `e${ids++}`, source: '/test', subject: 's', time: '2026-01-01T00:00:00.000Z', traceparent: '' },
    data,
  }) as LoomEvent;
const received = (requestId: string) =>
  event('request.received', {
    ...{ ...exchange, requestId, replyStream: 'r', awaited: [], path: '/v1/messages', stream: true },
    body: { bytes: 1, messages: 1, tools: 0 },
  });
const forwarded = (requestId: string) =>
  event('request.forwarded', {
    ...{ ...exchange, requestId, bytesIn: 1, bytesOut: 1, metadataBlocks: 0, replayed: 0, edits: [], heldMs: 0 },
  });
const completed = (requestId: string, upstreamRequestId: string) =>
  event('response.completed', {
    ...{ ...exchange, requestId, status: 200, upstreamRequestId, responseId: 'm', stopReason: 'end_turn', usage },
    ...{ text: 'Done.', textTruncated: false, toolUses: [], firstByteMs: 1, durationMs: 2, bytes: 3 },
  });
const ended = (changes: object = {}) =>
  event('turn.ended', {
    ...{ turn: KEY, ...TRACE, profile: 'alpha', prompt: 'p', startedAt: '', endedAt: '', durationMs: 1 },
    ...{ endReason: 'end_turn', answer: 'Done.', models: [], tools: [], costUsd: 0.001, prices: '1' },
    calls: { main: 1, subagent: 0, compaction: 0, retried: 0, failed: 0 },
    tokens: { prompt: 130, completion: 5, cacheRead: 100, cacheWrite: 20, total: 135 },
    ...changes,
  });
const line = (uuid: string) =>
  event('transcript.line', {
    ...{ file: 'f', offset: 0, bytes: 1, epoch: 0, form: 'json', lineType: 'user', role: 'user', contentTypes: [] },
    ...{ uuid, text: '', textTruncated: false },
  });

const whole = () => [received('r1'), forwarded('r1'), completed('r1', 'req_1'), ended(), line('u1')];
const sums: Sums = { calls: 1, prompt: 130, completion: 5, cacheRead: 100, cacheWrite: 20, costUsd: 0.001 };
const reference = new Map([['0/0', sums]]);

function account(): Account {
  const seen = new Account();
  seen.turns.push({ key: KEY, shape: '0/0', answers: ['req_1'], text: 'Done.' });
  seen.lines.push('u1');
  return seen;
}

/** One entry after the other. */
function take(ledger: Ledger, events: LoomEvent[]): void {
  for (const [at, each] of events.entries()) ledger.take('any', `${at}-0`, encodeEvent(each));
}

/** What the ledger misses of what the client saw, where this was published. */
function losses(events: LoomEvent[]): number[] {
  const ledger = new Ledger(prices);
  take(ledger, events);
  const seen = account();
  return [ledger.missingEvents(seen), ledger.wrongTurns(seen, reference), ledger.missingLines(seen)].map(
    ({ length }) => length,
  );
}

describe('the ledger of make faults', () => {
  test('misses nothing where everything is there, however often it was delivered', () => {
    const events = whole();

    expect(losses(events)).toEqual([0, 0, 0]);
    expect(losses([...events.slice(0, 4), ...events])).toEqual([0, 0, 0]);
  });

  test.each([
    ['what was asked', 0, [1, 1, 0]],
    ['what went out', 1, [1, 0, 0]],
    ['an answer', 2, [3, 0, 0]],
    ["a turn's end", 3, [0, 1, 0]],
    ['a line', 4, [0, 0, 1]],
  ])('misses %s', (_, at, expected) => {
    const events = whole();
    // Whoever is told of an end knows that it was asked.
    expect(losses(events.toSpliced(at, 1)).map((count) => Math.min(count, 3))).toEqual(at === 0 ? [1, 0, 0] : expected);
  });

  test.each([
    ['an answer', completed('r1', 'req_1'), [1, 1, 0]],
    ["a turn's end", ended(), [0, 1, 0]],
    ['a line', line('u1'), [0, 0, 1]],
  ])('finds %s that was told of twice', (_, again, expected) => {
    expect(losses([...whole(), again])).toEqual(expected);
  });

  test.each([
    ['another cost', { costUsd: 0.002 }],
    ['fewer tokens', { tokens: { prompt: 130, completion: 4, cacheRead: 100, cacheWrite: 20, total: 134 } }],
    ['another answer', { answer: null }],
    ['a call too many', { calls: { main: 2, subagent: 0, compaction: 0, retried: 0, failed: 0 } }],
  ])('finds a turn with %s', (_, changes) => {
    expect(losses(whole().with(3, ended(changes)))).toEqual([0, 1, 0]);
  });

  test('takes off what was billed for an answer that the client had to ask for again', () => {
    const cut = [received('r0'), forwarded('r0'), completed('r0', 'req_0')];
    const calls = { main: 2, subagent: 0, compaction: 0, retried: 0, failed: 0 };
    const tokens = { prompt: 260, completion: 10, cacheRead: 200, cacheWrite: 40, total: 270 };
    const ledger = new Ledger(prices);
    take(ledger, [...cut, ...whole().with(3, ended({ calls, tokens, costUsd: 0.001 + costOfOne() }))]);

    expect(ledger.wrongTurns(account(), reference)).toEqual([]);
  });
});

test('the ledger of make faults takes an answer that came again after the end of its turn for the first one', () => {
  const first = [received('r0'), forwarded('r0'), completed('r0', 'req_0')];
  const ledger = new Ledger(prices);
  take(ledger, [...first, ended(), received('r1'), forwarded('r1'), completed('r1', 'req_1')]);

  // Of the request itself nobody knows whether it came in time.
  expect(ledger.wrongTurns(account(), reference)).toEqual([]);
});

/** Of the answer above, by the price table. */
function costOfOne(): number {
  const ledger = new Ledger(prices);
  take(ledger, [completed('r0', 'req_0'), ...whole()]);
  return sums.costUsd - (ledger.sums(account()).get('0/0') as Sums).costUsd;
}
