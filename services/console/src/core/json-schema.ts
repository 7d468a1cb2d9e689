import { EventData, type EventType } from '@loom/shared/event.ts';
import { z } from 'zod';

export type JsonSchema = Record<string, unknown>;

export const EVENT_TYPES = Object.keys(EventData) as EventType[];

/** The attributes of an event of this type, as JSON Schema properties (CloudEvents 1.0 with Distributed Tracing). */
export function attributesOf(type: EventType): Record<string, JsonSchema> {
  return {
    specversion: { const: '1.0' },
    id: { type: 'string', minLength: 1, description: 'The same on every repetition: readers drop those by it.' },
    source: { type: 'string', minLength: 1, examples: ['/loom/gateway/g1'] },
    type: { const: type },
    subject: { type: 'string', description: 'The session id.' },
    time: { type: 'string', format: 'date-time' },
    datacontenttype: { const: 'application/json' },
    traceparent: { type: 'string', pattern: '^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$' },
    tracestate: { type: 'string' },
  };
}

/** The attributes that every event has. */
export const REQUIRED = Object.keys(attributesOf('request.received')).filter((name) => name !== 'tracestate');

/** The data of an event as JSON Schema. Fields that it does not list are allowed: newer writers, older readers. */
export function dataSchema(type: EventType, target: 'draft-2020-12' | 'draft-7'): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(EventData[type], { io: 'input', target });
  return schema;
}

/**
 * One JSON Schema (draft 2020-12) for all events, each under `$defs` by its type, as `loom events --json` prints them: `data` is an
 * object here, and in Redis the same object as text.
 *
 * @example
 * eventSchema().oneOf; // [{ $ref: '#/$defs/request.received' }, …]
 */
export function eventSchema(): JsonSchema {
  const events = EVENT_TYPES.map((type) => [
    type,
    {
      type: 'object',
      properties: { ...attributesOf(type), data: dataSchema(type, 'draft-2020-12') },
      required: [...REQUIRED, 'data'],
    },
  ]);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: "Loom's events",
    oneOf: EVENT_TYPES.map((type) => ({ $ref: `#/$defs/${type}` })),
    $defs: Object.fromEntries(events),
  };
}
