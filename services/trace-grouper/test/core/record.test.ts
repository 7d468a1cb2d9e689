import { describe, expect, test } from '@jest/globals';
import { arrivalOf, type ExchangeEvent, nameOf, type PlacedRecord, recordOf } from '../../src/core/record.ts';
import { redactWith } from '../../src/core/redact.ts';
import { BEGIN, exchange, INTAKE, spanIdOf, TRACE } from '../story.ts';

const [received, forwarded, response, captured] = exchange('r1', {
  hook: { prompt: 'Mend the gate.', cwd: '/work/garden' },
  text: 'Mended.',
  output: [],
}) as [ExchangeEvent, ExchangeEvent, ExchangeEvent, ExchangeEvent];

const HIDING = { ...INTAKE, withContent: false };

const without = (event: ExchangeEvent, field: string) =>
  ({ ...event, data: { ...event.data, [field]: undefined } }) as ExchangeEvent;

describe('recordOf', () => {
  test('keeps an event without what only rewriters need', () => {
    const view = { system: [{ type: 'text', text: 'You are …' }] };
    const awaited = [{ rewriter: 'w', holdMs: 150, labels: [] }];
    const asking = { ...received, data: { ...received.data, view, awaited } } as ExchangeEvent;

    expect(recordOf(asking, INTAKE)).toEqual(recordOf(received, INTAKE));
    expect(recordOf(asking, INTAKE).data).toEqual(received.data);
  });

  test('keeps nothing of what was said where none of it may be kept', () => {
    const [hidden] = exchange('r1', { hook: { prompt: 'Mend the gate.' }, capture: 'none' }) as [ExchangeEvent];

    expect(recordOf(received, HIDING).data).toMatchObject({ hook: { prompt: undefined, cwd: '/work/garden' } });
    expect(recordOf(hidden, INTAKE).data).toMatchObject({ hook: { prompt: undefined } });
    expect(recordOf(response, HIDING).data).toMatchObject({ text: '', status: 200 });
  });

  test('keeps nothing of what the operator’s patterns match', () => {
    const said = [{ type: 'text', text: 'For SAM.' }];
    const events = exchange('r1', {
      hook: { prompt: 'Mend the gate for SAM.', cwd: '/home/SAM' },
      text: 'Mended for SAM.',
      input: [{ role: 'user', content: said }],
      output: said,
    });

    const records = events.map((event) => recordOf(event, { withContent: true, redact: redactWith([/SAM/gu]) }));

    expect(JSON.stringify(records)).not.toContain('SAM');
    expect(records.map(({ data }) => data)).toMatchObject([
      { hook: { prompt: 'Mend the gate for [redacted].', cwd: '/home/[redacted]' } },
      {},
      { text: 'Mended for [redacted].' },
      { output: [{ type: 'text', text: 'For [redacted].' }] },
    ]);
  });

  test('names the event’s own span, where the gateway has made one', () => {
    const sendOf = (traceparent: string) => recordOf({ ...response, traceparent }, INTAKE).send;

    expect(sendOf(`00-${TRACE.traceId}-${'c'.repeat(16)}-01`)).toEqual({
      spanId: 'c'.repeat(16),
      type: 'response.completed',
    });
    // Without telemetry an event passes on the request span's identity.
    expect(sendOf(`00-${TRACE.traceId}-${spanIdOf('r1')}-01`)).toBeUndefined();
    expect(sendOf(`00-${'d'.repeat(32)}-${'c'.repeat(16)}-01`)).toBeUndefined();
  });

  test('names a repetition as the first', () => {
    const names = [received, forwarded, response, captured, response].map((event) => nameOf(recordOf(event, INTAKE)));

    expect(names).toEqual(['received:r1', 'forwarded:r1', 'response:r1', 'captured:r1', 'response:r1']);
  });
});

describe('arrivalOf', () => {
  test('is what the event says, else its own time without what went by', () => {
    const arrival = (event: ExchangeEvent) => arrivalOf(recordOf(event, INTAKE) as PlacedRecord) - BEGIN;

    expect([received, forwarded, response].map(arrival)).toEqual([0, 0, 0]);
    expect([forwarded, response].map((event) => arrival(without(event, 'startedAt')))).toEqual([0, 0]);
    expect(arrival({ ...forwarded, time: '2026-11-22T09:00:09.000Z' })).toBe(0);
    expect(arrival(without({ ...forwarded, time: '2026-11-22T09:00:09.000Z' }, 'startedAt'))).toBe(8_990);
  });
});
