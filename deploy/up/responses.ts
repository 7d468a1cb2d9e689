import { connectRedis } from '@loom/shared/connection.ts';
import { decodeEvent, InvalidEventError, type LoomEvent } from '@loom/shared/event.ts';

/**
 * Reads the stream's events as they come, from now on, on a connection of its own; ends when `stop` is aborted.
 *
 * While Redis is away it waits; nothing is missed, since it goes on after the last entry that it has seen. An entry
 * that is no event comes as the InvalidEventError that says why.
 *
 * @param key the stream, such as `loom:responses`
 */
export async function* readEvents(
  url: string,
  key: string,
  stop: AbortSignal,
): AsyncGenerator<LoomEvent | InvalidEventError> {
  const redis = connectRedis(url, 'patient');
  // A lost connection is retried for ever, and the services say that Redis is away.
  redis.on('error', () => {});
  try {
    const newest = await unlessAborted(redis.xrevrange(key, '+', '-', 'COUNT', 1), stop);
    let [last = '0-0'] = newest.map(([id]) => id);
    for (;;) {
      const answer = await unlessAborted(redis.xread('COUNT', 100, 'BLOCK', 5_000, 'STREAMS', key, last), stop);
      for (const [id, fields] of answer?.[0]?.[1] ?? []) {
        yield read(fields);
        last = id;
      }
    }
  } catch (error) {
    // To be stopped is how it ends.
    if (!stop.aborted) throw error;
  } finally {
    redis.disconnect();
  }
}

/** Closing a connection that is being re-established leaves the commands that wait for it pending for ever. */
function unlessAborted<T>(reply: Promise<T>, stop: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(stop.reason);
    if (stop.aborted) abort();
    stop.addEventListener('abort', abort);
    reply.then(resolve, reject).finally(() => stop.removeEventListener('abort', abort));
  });
}

function read(fields: string[]): LoomEvent | InvalidEventError {
  try {
    return decodeEvent(fields);
  } catch (error) {
    if (error instanceof InvalidEventError) return error;
    throw error;
  }
}
