import { createHash } from 'node:crypto';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import type { Sighting } from '../core/sighting.ts';

const TTL_S = 30 * 24 * 60 * 60;
/** Of one session: somebody who makes up paths gets no more attention than this. */
const MAX_REFUSED_HINTS = 16;

// One hash a session. traceparent, atMs, eventId: the newest request's. firstAtMs: the oldest one's. seenAt: when a request was last told of, by
// Redis' clock. project: from the newest good hint. refused: digests of the bad ones. begun: where reading starts is
// stored for all files of the first look. ended: the last lease ended by itself, and no request came since.

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/** KEYS[1] hash; ARGV: seconds, atMs, event id, traceparent, project, digest of a refused hint, how many of these. */
const SEE = `${NOW}
local hash = KEYS[1]
local isEnded = redis.call('HDEL', hash, 'ended') == 1
local isHeld = not isEnded and redis.call('HEXISTS', hash, 'seenAt') == 1
redis.call('HSET', hash, 'seenAt', now)
redis.call('EXPIRE', hash, ARGV[1])

local atMs, id = unpack(redis.call('HMGET', hash, 'atMs', 'eventId'))
local newer = tonumber(ARGV[2]) - (tonumber(atMs or '') or -1)
if newer > 0 or (newer == 0 and ARGV[3] > id) then
  redis.call('HSET', hash, 'atMs', ARGV[2], 'eventId', ARGV[3], 'traceparent', ARGV[4])
  if ARGV[5] ~= '' then redis.call('HSET', hash, 'project', ARGV[5]) end
end

local first = tonumber(redis.call('HGET', hash, 'firstAtMs') or '') or math.huge
if tonumber(ARGV[2]) > 0 and tonumber(ARGV[2]) < first then redis.call('HSET', hash, 'firstAtMs', ARGV[2]) end

local refused = redis.call('HGET', hash, 'refused') or ''
local isNewHint = ARGV[6] ~= '' and not string.find(refused, ARGV[6], 1, true)
  and #refused < #ARGV[6] * tonumber(ARGV[7])
if isNewHint then redis.call('HSET', hash, 'refused', refused .. ARGV[6]) end
return {isHeld and 1 or 0, isNewHint and 1 or 0}`;

/** KEYS[1] hash; ARGV: seconds. */
const BEGUN = `
redis.call('HSET', KEYS[1], 'begun', 1)
redis.call('EXPIRE', KEYS[1], ARGV[1])`;

/** KEYS[1] hash; ARGV: seconds, idle milliseconds. How long it has to stay yet; 0: it ended. */
const END = `${NOW}
local seen = tonumber(redis.call('HGET', KEYS[1], 'seenAt') or '') or 0
if seen > now + ARGV[2] then
  seen = now
  redis.call('HSET', KEYS[1], 'seenAt', now)
end
local rest = tonumber(ARGV[2]) - (now - seen)
if rest > 0 then return rest end
redis.call('HSET', KEYS[1], 'ended', 1)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 0`;

/** KEYS[1] hash; ARGV: seconds, begun (or empty), first request's time (or empty), project (or empty). 1 when it was not there. */
const RESTORE = `${NOW}
if redis.call('HEXISTS', KEYS[1], 'seenAt') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'seenAt', now)
for at, name in ipairs({'begun', 'firstAtMs', 'project'}) do
  if ARGV[at + 1] ~= '' then redis.call('HSET', KEYS[1], name, ARGV[at + 1]) end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1`;

/** What is known of a session when its lease begins. */
export interface WatchedSession {
  project: string | undefined;
  /** When its first request was told of, Unix ms; undefined before there is one. */
  firstRequestAt: number | undefined;
  /** It was watched before: its files go on where they were left, and new ones are read from their start. */
  isBegun: boolean;
  /** Its last lease ended for want of anything new, and there was no request since. */
  isEnded: boolean;
}

/** What a holder knows of its session. */
export type RestoredSession = Omit<WatchedSession, 'isEnded'>;

/** The sessions that Loom has seen, 30 days from the last request: `<prefix>:watched:<session>`, shared by all replicas. */
export class WatchedSessions {
  readonly #streams: Streams;

  constructor(streams: Streams) {
    this.#streams = streams;
  }

  /**
   * Records a request; only the newest one's traceparent and project stay, and the first one's time, in whatever order
   * they come. One without a time says nothing of when the session began.
   *
   * @returns isHeld: there is a lease already, or one that waits to be taken; isNewHint: the refused hint is a new one
   */
  async see(sighting: Sighting): Promise<{ isHeld: boolean; isNewHint: boolean }> {
    const { session, atMs, eventId, traceparent, project = '', refusedHint } = sighting;
    const digest = refusedHint === undefined ? '' : createHash('sha256').update(refusedHint).digest('hex').slice(0, 16);
    const facts = [atMs, eventId, traceparent, project, digest, MAX_REFUSED_HINTS];
    const [isHeld, isNewHint] = (await this.#run(SEE, session, ...facts)) as [number, number];
    return { isHeld: isHeld === 1, isNewHint: isNewHint === 1 };
  }

  async find(session: string): Promise<WatchedSession> {
    const { redis } = this.#streams;
    const fields = await untraced(() => redis.hmget(this.#key(session), 'project', 'firstAtMs', 'begun', 'ended'));
    const [project, firstAtMs, begun, ended] = fields;
    return {
      project: project ?? undefined,
      firstRequestAt: typeof firstAtMs === 'string' ? Number(firstAtMs) : undefined,
      isBegun: begun !== null,
      isEnded: ended !== null,
    };
  }

  async noteBegun(session: string): Promise<void> {
    await this.#run(BEGUN, session);
  }

  /**
   * Tells a Redis that came back empty what a holder knows of its session. The trace of the newest request is not among
   * it: lines have one of their own until the next request.
   *
   * @returns whether it was gone
   */
  async restore(session: string, { isBegun, firstRequestAt, project }: RestoredSession): Promise<boolean> {
    return (await this.#run(RESTORE, session, isBegun ? 1 : '', firstRequestAt ?? '', project ?? '')) === 1;
  }

  /**
   * Ends a session's lease, unless there was a request within the idle time. A request that comes later makes a new one.
   *
   * @returns 0 when it ended, else how long it has to stay at least, milliseconds
   */
  async end(session: string, idleMs: number): Promise<number> {
    return (await this.#run(END, session, idleMs)) as number;
  }

  #run(script: string, session: string, ...args: (string | number)[]): Promise<unknown> {
    return untraced(() => this.#streams.redis.eval(script, 1, this.#key(session), TTL_S, ...args));
  }

  #key(session: string): string {
    return this.#streams.key(`watched:${session}`);
  }
}
