import type { LoomEvent } from '@loom/shared/event.ts';
import { until } from '@loom/shared/testing/until.ts';
import type { Harness } from '../harness.ts';
import type { WireRequest } from './wire.ts';

let sessions = 0;

/** A streamed Messages request of a session of its own, by which its events are found. */
export function newRequest(headers: string[] = []): WireRequest & { session: string } {
  sessions += 1;
  const session = `session-${sessions}`;
  const body = '{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hello."}]}';
  return { session, headers: ['x-claude-code-session-id', session, ...headers], body };
}

/** How the exchange of a session ended; waits for it, and throws when it ended twice. */
export async function ending(harness: Harness, session: string) {
  const find = async () => {
    const completed: LoomEvent[] = await harness.events('responses', 'response.completed');
    const failed: LoomEvent[] = await harness.events('responses', 'response.failed');
    return [...completed, ...failed].filter(({ subject }) => subject === session);
  };
  await until(async () => (await find()).length > 0);
  const [event, ...more] = await find();
  if (!event || more.length > 0) throw new Error(`expected one ending of ${session}, got ${more.length + 1}`);
  return event as LoomEvent<'response.completed' | 'response.failed'>;
}
