import manifest from '../../package.json' with { type: 'json' };
import { asyncApi } from '../core/asyncapi.ts';
import { eventSchema } from '../core/json-schema.ts';

/** `loom schema`: what is on the streams, for programs in other languages. Asks no Redis. */
export function printSchema({ asyncapi }: { asyncapi?: true }): void {
  const document = asyncapi ? asyncApi(manifest.version) : eventSchema();
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}
