import { plainJson } from '@loom/shared/plain.ts';
import { follow } from '../adapters/follow.ts';
import { withContext } from '../context.ts';
import { findEvent, toObject } from '../core/entry.ts';
import type { Since } from '../core/since.ts';
import { formatTurnEnded, formatTurnStarted } from '../core/turn-line.ts';

export interface TailOptions {
  json?: true;
  since?: Since;
  started?: true;
}

/** `loom tail`: each turn in one line, when it has ended. */
export function showTurns({ json, since, started }: TailOptions): Promise<void> {
  return withContext('patient', async ({ redis, screen, key, print }) => {
    for await (const entry of follow(redis, { keys: () => [key('turns')], since })) {
      const event = findEvent(entry);
      if (event?.type === 'turn.ended') print(json ? plainJson(toObject(entry)) : formatTurnEnded(event, screen));
      if (event?.type === 'turn.started' && started)
        print(json ? plainJson(toObject(entry)) : formatTurnStarted(event, screen));
    }
  });
}
