import { EventData, STREAM_OF } from '@loom/shared/event.ts';
import type { z } from 'zod';

/** Who publishes an event, and who reads it. */
const ROUTES: Record<keyof typeof EventData, string> = {
  'request.received': 'gateway → rewriters, transcript-watcher, trace-grouper, anyone',
  'edits.proposed': 'rewriter → the gateway that asked',
  'request.forwarded': 'gateway → intro-injector, trace-grouper, anyone',
  'response.completed': 'gateway → trace-grouper, anyone',
  'response.failed': 'gateway → intro-injector, trace-grouper, anyone',
  'rewriter.bypassed': 'gateway → operator',
  'identity.lost': 'gateway → operator',
  'compaction.unrecognised': 'compact-rewriter → operator',
  'exchange.captured': 'gateway → trace-grouper',
  'transcript.line': 'transcript-watcher → trace-grouper, anyone',
  'transcript.refused': 'transcript-watcher → operator',
  'turn.started': 'trace-grouper → anyone',
  'turn.ended': 'trace-grouper → anyone',
  'spool.full': 'gateway → operator',
  'stream.gap': 'gateway, any reader → operator',
  'redis.emptied': 'gateway → operator',
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
