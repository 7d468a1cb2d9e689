import { connectRedis } from '@loom/shared/connection.ts';
import { reasonOf } from '@loom/shared/redaction.ts';
import type { Redis } from 'ioredis';
import { Complaint } from '../complaint.ts';

/** How long Redis may take to answer the first time, milliseconds. */
const GREETING_MS = 3_000;

/** What ioredis says of a command that a connection did not outlive. */
const GONE = /^(Connection is closed|Command timed out|Socket timeout|Stream isn't writeable)/;

/**
 * Runs a command's questions on a connection of its own, and closes it.
 *
 * @param patience `fail-fast` for questions that end, `patient` for a read that goes on after an outage
 * @param tell is told, once each, that Redis went away and came back
 * @throws Complaint when Redis does not answer, or refuses
 */
export async function withRedis<T>(
  { url, patience, tell }: { url: string; patience: 'fail-fast' | 'patient'; tell: (sentence: string) => void },
  ask: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = connectRedis(url, patience);
  try {
    await greeted(redis);
    if (patience === 'patient') tellOutages(redis, tell);
    return await ask(redis);
  } catch (error) {
    throw complaintOf(error, url) ?? error;
  } finally {
    redis.removeAllListeners('close').disconnect();
  }
}

function tellOutages(redis: Redis, tell: (sentence: string) => void): void {
  let away = false;
  redis.on('close', () => {
    if (!away) tell('Redis is away; waiting for it');
    away = true;
  });
  redis.on('ready', () => {
    if (away) tell('Redis is back');
    away = false;
  });
}

function greeted(redis: Redis): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Silence(`no answer within ${GREETING_MS / 1_000} s`)), GREETING_MS);
    const settle = (end: () => void) => () => {
      clearTimeout(timer);
      end();
    };
    redis.once('ready', settle(resolve));
    // Later errors are an outage that the connection gets over, or fail the command that was under way.
    redis.on('error', (error) => settle(() => reject(new Silence(reasonOf(error), { cause: error })))());
  });
}

/** Redis did not answer, for this reason. */
class Silence extends Error {
  override name = 'Silence';
}

function complaintOf(error: unknown, url: string): Complaint | undefined {
  // Not the whole URL: it may hold a password.
  const { host, pathname } = new URL(url);
  const where = `Redis at ${host || pathname}`;
  // A transaction that Redis turned down says why in the replies to its commands.
  const reason = reasonOf((error as { previousErrors?: unknown[] }).previousErrors?.[0] ?? error);
  if (/^(NOAUTH|WRONGPASS|NOPERM)/.test(reason))
    return new Complaint(`${where} refuses: ${reason}. Put user and password into REDIS_URL`, { cause: error });
  if (error instanceof Silence)
    return new Complaint(`${where} does not answer: ${reason}. Start it (make up), or set REDIS_URL`, { cause: error });
  const name = error instanceof Error ? error.name : '';
  if (name === 'ReplyError') return new Complaint(`${where} refuses: ${reason}`, { cause: error });
  if (name === 'MaxRetriesPerRequestError' || GONE.test(reason))
    return new Complaint(`${where} went away: ${reason}`, { cause: error });
  return undefined;
}
