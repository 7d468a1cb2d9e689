import { plainJson } from '@loom/shared/plain.ts';
import { follow } from '../adapters/follow.ts';
import { withContext } from '../context.ts';
import { findEvent, toObject } from '../core/entry.ts';
import type { Since } from '../core/since.ts';
import { formatTranscriptLine } from '../core/transcript-line.ts';

export interface TranscriptsOptions {
  json?: true;
  since?: Since;
}

/** `loom transcripts`: each line of the transcripts as it is published. */
export function showTranscripts(prefix: string, { json, since }: TranscriptsOptions): Promise<void> {
  return withContext('patient', async ({ redis, screen, key, print }) => {
    for await (const entry of follow(redis, { keys: () => [key('transcripts')], since })) {
      const event = findEvent(entry);
      if (event?.type !== 'transcript.line' || !event.subject.startsWith(prefix)) continue;
      print(json ? plainJson(toObject(entry)) : formatTranscriptLine(event, screen));
    }
  });
}
