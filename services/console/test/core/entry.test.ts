import { describe, expect, test } from '@jest/globals';
import { encodeEvent } from '@loom/shared/event.ts';
import { findEvent, toObject } from '../../src/core/entry.ts';
import { event, SESSION, transcriptLine } from '../events.ts';

const line = event('transcript.line', transcriptLine());
const entry = { key: 't:transcripts', id: '1760000000000-3', fields: encodeEvent(line) };

describe('findEvent', () => {
  test('decodes an event', () => {
    expect(findEvent(entry)).toEqual(line);
  });

  test('finds none in a type that it does not know, in damaged data, and in anything else', () => {
    const withField = (name: string, value: string) => {
      const fields = [...entry.fields];
      fields[fields.indexOf(name) + 1] = value;
      return { ...entry, fields };
    };

    expect(findEvent(withField('type', 'tea.made'))).toBeUndefined();
    expect(findEvent(withField('data', '{'))).toBeUndefined();
    expect(findEvent({ ...entry, fields: ['a', 'b'] })).toBeUndefined();
  });
});

describe('toObject', () => {
  test('is the event with its place, its data parsed', () => {
    const { data, ...attributes } = line;

    expect(toObject(entry)).toEqual({
      stream: 't:transcripts',
      entry: '1760000000000-3',
      specversion: '1.0',
      datacontenttype: 'application/json',
      ...attributes,
      data,
    });
    expect(line.subject).toBe(SESSION);
  });

  test('keeps data that is no JSON, and a name without a value', () => {
    expect(toObject({ key: 'k', id: '1-0', fields: ['data', '{', 'odd'] })).toEqual({
      stream: 'k',
      entry: '1-0',
      data: '{',
      odd: '',
    });
  });
});
