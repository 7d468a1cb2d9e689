import { Redis, type RedisOptions } from 'ioredis';

// A command that nobody answers ends after 1 s; after 2 s of silence the connection is given up, and from then on,
// until Redis answers again, every command is refused at once and nothing piles up in memory.
const COMMAND_TIMEOUT_MS = 1_000;
const SILENCE_MS = 2_000;

/** The longest that a blocking read may ask Redis to wait, milliseconds: with a longer one its connection is given up. */
const MAX_BLOCK_MS = 5_000;

const RECONNECTING = {
  // ioredis 6 waits up to 5 s by default; with 500 ms a client is back 74 to 518 ms after Redis is.
  retryStrategy: (attempt: number) => Math.min(attempt * 50, 500),
  connectTimeout: SILENCE_MS,
  disconnectTimeout: 200,
  disableClientInfo: true,
} satisfies RedisOptions;

/** For commands that answer at once: none waits while Redis is away, and none is sent twice. */
const FAIL_FAST = {
  ...RECONNECTING,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  commandTimeout: COMMAND_TIMEOUT_MS,
  socketTimeout: SILENCE_MS,
} satisfies RedisOptions;

/**
 * For blocking reads: a read waits as long as Redis is away, and is repeated when it is back. One that outlasts its own
 * BLOCK reads from a dead connection (a cut cable, a host that lost its power), which TCP would keep up for hours.
 */
const PATIENT = {
  ...RECONNECTING,
  maxRetriesPerRequest: null,
  socketTimeout: MAX_BLOCK_MS + SILENCE_MS,
} satisfies RedisOptions;

/** Opens a connection that never gives up. Its replies have the shapes of RESP2 (ioredis' legacy mapping). */
export function connectRedis(url: string, patience: 'fail-fast' | 'patient'): Redis {
  // ioredis takes the bare path of a socket.
  const address = url.replace(/^unix:\/\//, '');
  return new Redis(address, { ...(patience === 'patient' ? PATIENT : FAIL_FAST), replyMapping: 'legacy' });
}
