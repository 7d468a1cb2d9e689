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
  const close = () => redis.disconnect();
  stop.addEventListener('abort', close);
  try {
    let [last = '0-0'] = (await redis.xrevrange(key, '+', '-', 'COUNT', 1)).map(([id]) => id);
    while (!stop.aborted) {
      const answer = await redis.xread('COUNT', 100, 'BLOCK', 5_000, 'STREAMS', key, last);
      for (const [id, fields] of answer?.[0]?.[1] ?? []) {
        yield read(fields);
        last = id;
      }
    }
  } catch (error) {
    // Closing the connection rejects the command that waits on it.
    if (!stop.aborted) throw error;
  } finally {
    stop.removeEventListener('abort', close);
    close();
  }
}

function read(fields: string[]): LoomEvent | InvalidEventError {
  try {
    return decodeEvent(fields);
  } catch (error) {
    if (error instanceof InvalidEventError) return error;
    throw error;
  }
}
