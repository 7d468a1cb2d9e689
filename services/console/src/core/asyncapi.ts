import { type EventType, KEEP, STREAM_OF, type StreamName } from '@loom/shared/event.ts';
import { attributesOf, dataSchema, EVENT_TYPES, type JsonSchema, REQUIRED } from './json-schema.ts';

/**
 * The streams as an AsyncAPI 3.0 document: a channel for each stream, a message for each event type. An entry's fields
 * are the CloudEvents attributes (the message's headers) and `data` (its payload, as JSON text).
 *
 * @param version of Loom
 *
 * @example
 * asyncApi('0.1.0').channels; // { requests: { address: '{prefix}:requests', messages: { 'request.received': … } }, … }
 */
export function asyncApi(version: string): JsonSchema {
  const streams = [...new Set(Object.values(STREAM_OF))];
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Loom',
      version,
      description: 'Events between Claude Code, the Anthropic API and the services that stand between them.',
    },
    defaultContentType: 'application/json',
    servers: { redis: { host: '127.0.0.1:6379', protocol: 'redis', protocolVersion: '7.0' } },
    channels: Object.fromEntries(streams.map((stream) => [stream, channelOf(stream)])),
    components: { messages: Object.fromEntries(EVENT_TYPES.map((type) => [type, messageOf(type)])) },
  };
}

function channelOf(stream: StreamName): JsonSchema {
  const types = EVENT_TYPES.filter((type) => STREAM_OF[type] === stream);
  // Each gateway reads the answers to its own questions.
  const isPerGateway = stream === 'edits';
  return {
    address: isPerGateway ? `{prefix}:${stream}:{gateway}` : `{prefix}:${stream}`,
    description: `A Redis Stream of about ${KEEP[stream]} entries.`,
    parameters: {
      prefix: { default: 'loom', description: 'LOOM_KEY_PREFIX' },
      ...(isPerGateway && { gateway: { description: 'The id of the gateway that asked.' } }),
    },
    messages: Object.fromEntries(types.map((type) => [type, { $ref: `#/components/messages/${type}` }])),
    bindings: { redis: {} },
  };
}

function messageOf(type: EventType): JsonSchema {
  return {
    name: type,
    contentType: 'application/json',
    headers: { type: 'object', properties: attributesOf(type), required: REQUIRED },
    // AsyncAPI's own schema language is draft 7.
    payload: dataSchema(type, 'draft-7'),
    bindings: { redis: {} },
  };
}
