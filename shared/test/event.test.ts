import { describe, expect, test } from '@jest/globals';
import { type DataOf, decodeEvent, encodeEvent, InvalidEventError, type LoomEvent } from '@loom/shared/event.ts';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';

const data: DataOf<'spool.full'> = { gateway: 'g1', dropped: 3 };
const event: LoomEvent<'spool.full'> = {
  type: 'spool.full',
  id: '0197a1b2-0000-7000-8000-000000000000',
  source: '/loom/gateway/g1',
  subject: 's1',
  time: '2026-11-22T15:00:00.000Z',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  data,
};
const FIELDS = [
  ...['specversion', '1.0', 'id', event.id, 'source', '/loom/gateway/g1', 'type', 'spool.full', 'subject', 's1'],
  ...['time', event.time, 'datacontenttype', 'application/json', 'traceparent', event.traceparent],
  ...['data', '{"gateway":"g1","dropped":3}'],
];

/** The fields with one value changed. */
function changed(name: string, value: string): string[] {
  return FIELDS.with(FIELDS.indexOf(name) + 1, value);
}

describe('encodeEvent', () => {
  test('writes the CloudEvents attributes and the data as a flat list', () => {
    expect(encodeEvent(event)).toEqual(FIELDS);
  });

  test('writes a tracestate only where there is one', () => {
    expect(encodeEvent({ ...event, tracestate: 'a=1' })).toEqual(FIELDS.toSpliced(-2, 0, 'tracestate', 'a=1'));
  });
});

describe('decodeEvent', () => {
  test('reads what encodeEvent wrote, whatever the texts', () => {
    const texts = fc.string({ unit: 'binary' });
    holds(
      fc.property(texts, texts, texts, (subject, gateway, extra) => {
        const written = { ...event, subject, data: { gateway, dropped: 1, extra } };

        expect(decodeEvent(encodeEvent(written))).toEqual(written);
      }),
    );
  });

  test('reads fields in any order, and leaves unknown attributes out and unknown data in', () => {
    const fields = ['sessionid', 's1', ...changed('data', '{"gateway":"g1","dropped":3,"disk":"full"}')];

    expect(decodeEvent(fields)).toEqual({ ...event, data: { ...data, disk: 'full' } });
  });

  test('takes an entry that is in no trace', () => {
    expect(decodeEvent(FIELDS.toSpliced(FIELDS.indexOf('traceparent'), 2))).toEqual({ ...event, traceparent: '' });
  });

  test.each([
    ['another version', changed('specversion', '2.0'), /^expected a CloudEvents 1\.0 entry, got specversion: /],
    ['no id', changed('id', ''), /^expected a CloudEvents 1\.0 entry, got id: /],
    ['an unknown type', changed('type', 'tea.served'), /^expected a known event type, got "tea\.served"$/],
    ['no JSON', changed('data', '{'), /^expected JSON in the data of spool\.full$/],
    [
      'other data',
      changed('data', '{"gateway":1,"dropped":0}'),
      /^expected the data of spool\.full, got gateway: .*dropped: /,
    ],
    ['nothing', [], /^expected a CloudEvents 1\.0 entry, got specversion: .*data: /],
  ])('refuses an entry with %s, and says why', (_, fields, message) => {
    const decode = () => decodeEvent(fields);

    expect(decode).toThrow(InvalidEventError);
    expect(decode).toThrow(message);
  });
});
