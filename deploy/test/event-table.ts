import { EventData, STREAM_OF } from '@loom/shared/event.ts';
import type { z } from 'zod';

/** Who publishes an event, and who reads it. */
const ROUTES: Record<keyof typeof EventData, string> = {
  'request.received': 'gateway → rewriters, anyone',
  'edits.proposed': 'rewriter → the gateway that asked',
  'request.forwarded': 'gateway → intro-injector, anyone',
  'response.completed': 'gateway → anyone',
  'response.failed': 'gateway → intro-injector, anyone',
  'rewriter.bypassed': 'gateway → operator',
  'identity.lost': 'gateway → operator',
  'compaction.unrecognised': 'compact-rewriter → operator',
  'spool.full': 'gateway → operator',
};

/** The README's table of events, from the schemas: a line each; a field with `?` may be absent. */
export function eventTable(): string[] {
  return Object.entries(EventData).map(([type, schema]) => {
    const name = type as keyof typeof EventData;
    const stream = name === 'edits.proposed' ? 'loom:edits:<gateway>' : `loom:${STREAM_OF[name]}`;
    const fields = Object.entries(schema.shape as Record<string, z.ZodType>).map(([field, value]) =>
      value.safeParse(undefined).success ? `${field}?` : field,
    );
    return `| \`${type}\` | \`${stream}\` | ${ROUTES[name]} | ${fields.join(', ')} |`;
  });
}
