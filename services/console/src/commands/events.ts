import { KEEP } from '@loom/shared/event.ts';
import { plainJson } from '@loom/shared/plain.ts';
import { follow } from '../adapters/follow.ts';
import { scan } from '../adapters/scan.ts';
import { Complaint } from '../complaint.ts';
import { type Context, withContext } from '../context.ts';
import { toObject } from '../core/entry.ts';
import { formatEntry } from '../core/event-line.ts';
import type { Since } from '../core/since.ts';

export interface EventsOptions {
  json?: true;
  since?: Since;
}

/** `loom events`: the entries of one stream, or of all, as they are added. */
export function showEvents(stream: string | undefined, { json, since }: EventsOptions): Promise<void> {
  return withContext('patient', async (context) => {
    const { redis, screen, prefix, print } = context;
    const keys = keysOf(stream, context);
    for await (const entry of follow(redis, { keys, since })) {
      print(json ? plainJson(toObject(entry)) : formatEntry(entry, prefix, screen));
    }
  });
}

/** Each gateway has an edit stream of its own, which exists from its first entry on. */
function keysOf(stream: string | undefined, { redis, key }: Context): () => Promise<string[]> {
  const { edits: _, ...fixed } = KEEP;
  const names = Object.keys(fixed);
  const edits = () => scan(redis, key('edits:*'), 'stream');
  if (stream === undefined) return async () => [...names.map(key), ...(await edits())];
  if (stream === 'edits') return edits;
  if (!names.includes(stream) && !stream.startsWith('edits:'))
    throw new Complaint(
      `there is no stream ${stream}; the streams are ${Object.keys(KEEP).join(', ')}, edits:<gateway>`,
    );
  return async () => [key(stream)];
}
