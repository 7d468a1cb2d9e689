import specs from '@asyncapi/specs';
import { describe, expect, test } from '@jest/globals';
import { EventData, STREAM_OF } from '@loom/shared/event.ts';
import { Ajv, type AnySchema } from 'ajv';
import formats from 'ajv-formats';
import { asyncApi } from '../../src/core/asyncapi.ts';
import { responseCompleted } from '../events.ts';

const document = asyncApi('0.1.0');

/** The value at a local reference. */
function resolve(reference: string): unknown {
  return reference
    .slice('#/'.length)
    .split('/')
    .reduce((value, name) => (value as Record<string, unknown>)[name], document as unknown);
}

describe('asyncApi', () => {
  test('is a document that AsyncAPI 3.0 accepts', () => {
    // The schema brings draft 7 along.
    const ajv = new Ajv({ strict: false, allErrors: true, meta: false, validateSchema: false });
    formats.default(ajv);
    const validate = ajv.compile(specs.schemas['3.0.0'] as AnySchema);

    expect([validate(document), validate.errors]).toEqual([true, null]);
  });

  test('has a channel for each stream, and each message on the channel of its type', () => {
    const channels = document['channels'] as Record<
      string,
      { address: string; messages: Record<string, { $ref: string }> }
    >;
    const found = Object.entries(channels).flatMap(([stream, { messages }]) =>
      Object.entries(messages).map(([type, { $ref }]) => [type, stream, (resolve($ref) as { name: string }).name]),
    );

    expect(found.toSorted()).toEqual(
      Object.entries(STREAM_OF)
        .map(([type, stream]) => [type, stream, type])
        .toSorted(),
    );
    expect([channels['turns']?.address, channels['edits']?.address]).toEqual([
      '{prefix}:turns',
      '{prefix}:edits:{gateway}',
    ]);
  });

  test('describes the payload in draft 7, so that data of an event fits it', () => {
    const payloads = Object.keys(EventData).map((type) => resolve(`#/components/messages/${type}/payload`) as object);
    const ajv = new Ajv({ strict: false });

    expect(payloads.map((payload) => ajv.validateSchema(payload))).toEqual(payloads.map(() => true));
    expect(
      ajv.validate(resolve('#/components/messages/response.completed/payload') as object, responseCompleted()),
    ).toBe(true);
  });
});
