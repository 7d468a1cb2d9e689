import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** Intro's own key, so without Loom's prefix: a list of short strings, oldest first. */
const introKey = (session: string) => `intro:memorables:${session}`;

/** The newest of Intro's items; its list may only ever grow, and what a list holds is handled on each human message. */
const MAX_ITEMS = 1_000;
/** More of an item is looked at by nobody: 4,096 characters. A list of huge items must not fill the memory. */
const MAX_ITEM_BYTES = 16_384;

/** Fields of a session's hash that are looked through for each answer: about 32 KB of them. */
const MAX_FIELDS = 512;

const TTL_S = 30 * 24 * 60 * 60;

// One hash a session: `<sha256 of an item>` = the anchor that has it, `text:<anchor>` = the block that was rendered for
// it, `items:<anchor>` = its items' hashes, `applied:<anchor>` = the block is in the conversation for good.

/** KEYS[1] hash; ARGV: anchor, seconds. The anchor's block, with its items taken again; nil when it has none. */
const HOLD = `
local text = redis.call('HGET', KEYS[1], 'text:' .. ARGV[1])
if not text then return false end
for item in string.gmatch(redis.call('HGET', KEYS[1], 'items:' .. ARGV[1]), '%x+') do
  redis.call('HSETNX', KEYS[1], item, ARGV[1])
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return text`;

/** As HOLD; for an anchor without a block, the items that are taken, or nil when there are too many fields to look at. */
const LOOK = `
local function hold()${HOLD}
end
local held = hold()
if held then return held end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) then return false end
local items = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if #field == 64 then items[#items + 1] = field end
end
return items`;

/** As HOLD, and the anchor keeps its items from now on. */
const APPLY = `
if redis.call('HEXISTS', KEYS[1], 'text:' .. ARGV[1]) == 0 then return false end
redis.call('HSET', KEYS[1], 'applied:' .. ARGV[1], '1')
${HOLD}`;

/** KEYS[1] hash; ARGV: anchor. The number of items that are free again. */
const RELEASE = `
local items = redis.call('HGET', KEYS[1], 'items:' .. ARGV[1])
if not items or redis.call('HEXISTS', KEYS[1], 'applied:' .. ARGV[1]) == 1 then return 0 end
local freed = 0
for item in string.gmatch(items, '%x+') do
  if redis.call('HGET', KEYS[1], item) == ARGV[1] then freed = freed + redis.call('HDEL', KEYS[1], item) end
end
return freed`;

/**
 * KEYS[1] hash; ARGV: anchor, seconds, text, number of items, those items, the others of the list. {text, 1 for the
 * session's first}; when an item is taken, the anchor of each item that is.
 */
const RECORD = `
local text = redis.call('HGET', KEYS[1], 'text:' .. ARGV[1])
if text then return {text, 0} end
local last = 4 + tonumber(ARGV[4])
for at = 5, last do
  if redis.call('HEXISTS', KEYS[1], ARGV[at]) == 1 then return redis.call('HMGET', KEYS[1], unpack(ARGV, 5)) end
end
local first = 1 - redis.call('EXISTS', KEYS[1])
for at = 5, last do redis.call('HSET', KEYS[1], ARGV[at], ARGV[1]) end
redis.call('HSET', KEYS[1], 'text:' .. ARGV[1], ARGV[3], 'items:' .. ARGV[1], table.concat(ARGV, ' ', 5, last))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {ARGV[3], first}`;

/** KEYS[1] Intro's list; ARGV: items, bytes of an item. The newest items, oldest first. */
const READ = `
local items = {}
for at = -math.min(redis.call('LLEN', KEYS[1]), tonumber(ARGV[1])), -1 do
  items[#items + 1] = string.sub(redis.call('LINDEX', KEYS[1], at), 1, tonumber(ARGV[2]))
end
return items`;

/** Redis gave no answer within the time that a waiting request can spare. */
export class SlowRedisError extends Error {
  override name = 'SlowRedisError';
}

/** What there is for a message when it is asked about. */
export interface Seen {
  /** The block that was recorded for its anchor before, byte for byte; it has its items again if they were released. */
  text: string | undefined;
  /** Intro's list as it stands, oldest first; none when the key is missing. */
  list: string[];
  /** Why the list cannot be read, which then is empty: it is another service's. */
  fault?: unknown;
  /** The items that an anchor of the session has; undefined where those of a long session were not looked through. */
  isInjected: ((item: string) => boolean) | undefined;
}

/** A block stands for the anchor, another replica's where that was first; or other anchors had items of it already. */
export type Recorded = { text: string; isFirst: boolean } | { injected: Set<string> };

/** What a session has been given, and what Intro would like to give it; shared by all replicas. */
export interface MemorableStore {
  /** All that an answer is made from, in one round trip: somebody waits for it. */
  look(session: string, anchor: string): Promise<Seen>;
  /**
   * Records a block, all of its items or none.
   *
   * @param list what the block was chosen from: those of them that are taken are named where one of the block's is
   */
  record(
    session: string,
    anchor: string,
    block: { text: string; items: readonly string[] },
    list?: readonly string[],
  ): Promise<Recorded>;
  /** The anchor's block went out: it keeps its items, whatever is said about this anchor later or late. */
  apply(session: string, anchor: string): Promise<void>;
  /** The anchor's block did not go out: frees its items, and returns how many; none after `apply`. */
  release(session: string, anchor: string): Promise<number>;
}

/**
 * Opens the store on a shared command connection. Each call rejects with SlowRedisError after `limitMs`.
 *
 * @param keyOf puts Loom's prefix before a name
 */
export function openMemorableStore(redis: Redis, keyOf: (name: string) => string, limitMs: number): MemorableStore {
  const key = (session: string) => keyOf(`injected:${session}`);
  const run = (script: string, session: string, ...args: (string | number)[]) =>
    within(limitMs, redis.eval(script, 1, key(session), ...args));

  return {
    async look(session, anchor) {
      const pipeline = redis
        .pipeline()
        .eval(READ, 1, introKey(session), MAX_ITEMS, MAX_ITEM_BYTES)
        .eval(LOOK, 1, key(session), anchor, TTL_S, MAX_FIELDS);
      const [list, own] = ((await within(limitMs, pipeline.exec())) ?? []) as [Reply<string[]>, Reply<Look>];
      if (own[0]) throw own[0];
      const found = own[1];
      const injected = Array.isArray(found) ? new Set(found) : undefined;
      return {
        text: typeof found === 'string' ? found : undefined,
        list: list[0] ? [] : list[1],
        ...(list[0] && { fault: list[0] }),
        isInjected: injected && ((item) => injected.has(sha256(item))),
      };
    },

    async record(session, anchor, { text, items }, list = items) {
      const all = [...items, ...list.filter((item) => !items.includes(item))];
      const reply = await run(RECORD, session, anchor, TTL_S, text, items.length, ...all.map(sha256));
      const [standing, first] = reply as [string | null, number | string | null];
      if (typeof first === 'number') return { text: standing as string, isFirst: first === 1 };
      const anchors = reply as (string | null)[];
      return { injected: new Set(all.filter((_, at) => anchors[at] !== null)) };
    },

    async apply(session, anchor) {
      await run(APPLY, session, anchor, TTL_S);
    },

    async release(session, anchor) {
      return (await run(RELEASE, session, anchor)) as number;
    },
  };
}

type Reply<T> = [Error, undefined] | [null, T];
type Look = string | string[] | null;

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function within<T>(limitMs: number, answer: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new SlowRedisError(`expected Redis to answer within ${limitMs} ms`)), limitMs);
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
