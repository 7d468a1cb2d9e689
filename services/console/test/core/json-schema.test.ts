import { describe, expect, test } from '@jest/globals';
import { EventData, encodeEvent } from '@loom/shared/event.ts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { toObject } from '../../src/core/entry.ts';
import { eventSchema } from '../../src/core/json-schema.ts';
import { event, responseCompleted, transcriptLine, turnEnded } from '../events.ts';

const ajv = new Ajv2020({ allErrors: true });
formats.default(ajv);
const validate = ajv.compile(eventSchema());

/** As `loom events --json` prints it. */
const printed = (one: Parameters<typeof encodeEvent>[0]) =>
  toObject({ key: 't:x', id: '1-0', fields: encodeEvent(one) });
const completed = event('response.completed', responseCompleted());

describe('eventSchema', () => {
  test('has a definition for each type', () => {
    expect(Object.keys(eventSchema()['$defs'] as object)).toEqual(Object.keys(EventData));
  });

  test('accepts events as they are printed', () => {
    const events = [
      completed,
      event('transcript.line', transcriptLine()),
      event('turn.ended', turnEnded()),
      event('spool.full', { gateway: 'g1', dropped: 1 }),
    ];

    expect(events.map((one) => [validate(printed(one)), validate.errors])).toEqual(events.map(() => [true, null]));
  });

  test('accepts fields that a newer writer adds', () => {
    const newer = { ...printed(completed), data: { ...completed.data, mood: 'calm' }, colour: 'blue' };

    expect(validate(newer)).toBe(true);
  });

  test.each([
    ['a field is missing', { ...printed(completed), data: { ...completed.data, bytes: undefined } }],
    ['a field has the wrong type', { ...printed(completed), data: { ...completed.data, status: 'ok' } }],
    ['the trace is no trace', { ...printed(completed), traceparent: `00-${'0'.repeat(32)}-00f067aa0ba902b7-01` }],
    ['the type is another', { ...printed(completed), type: 'turn.ended' }],
    ['the time is none', { ...printed(completed), time: 'now' }],
  ])('refuses an event where %s', (_, broken) => {
    expect(validate(JSON.parse(JSON.stringify(broken)))).toBe(false);
  });
});
