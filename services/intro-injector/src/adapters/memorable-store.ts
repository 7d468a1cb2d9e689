import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** Intro's own key, so without Loom's prefix: a list of short strings, oldest first. */
const introKey = (session: string) => `intro:memorables:${session}`;

/** The newest of Intro's items; its list may only ever grow, and what a list holds is handled on each human message. */
const MAX_ITEMS = 1_000;
/** More of an item is looked at by nobody: 4,096 characters. A list of huge items must not fill the memory. */
const MAX_ITEM_BYTES = 16_384;

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

/** KEYS[1] hash; ARGV: anchor, seconds, text, items. {text, 1 for the session's first}; nil when an item is taken. */
const RECORD = `
local text = redis.call('HGET', KEYS[1], 'text:' .. ARGV[1])
if text then return {text, 0} end
for at = 4, #ARGV do
  if redis.call('HEXISTS', KEYS[1], ARGV[at]) == 1 then return false end
end
local first = 1 - redis.call('EXISTS', KEYS[1])
for at = 4, #ARGV do redis.call('HSET', KEYS[1], ARGV[at], ARGV[1]) end
redis.call('HSET', KEYS[1], 'text:' .. ARGV[1], ARGV[3], 'items:' .. ARGV[1], table.concat(ARGV, ' ', 4))
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

/** What a session has been given, and what Intro would like to give it; shared by all replicas. */
export interface MemorableStore {
  /** Intro's list as it stands, oldest first; none when the key is missing. */
  readList(session: string): Promise<string[]>;
  /** The block that was recorded for this anchor before, byte for byte; it has its items again if they were released. */
  findText(session: string, anchor: string): Promise<string | undefined>;
  /** Which of these items an anchor of the session has. */
  findInjected(session: string, items: readonly string[]): Promise<Set<string>>;
  /**
   * Records a block, all of its items or none. Returns the text that stands for the anchor, another replica's where that
   * was first; undefined when another anchor has taken one of the items, so the choice was made on stale news.
   */
  record(
    session: string,
    anchor: string,
    block: { text: string; items: readonly string[] },
  ): Promise<{ text: string; isFirst: boolean } | undefined>;
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
    async readList(session) {
      const reading = redis.eval(READ, 1, introKey(session), MAX_ITEMS, MAX_ITEM_BYTES);
      return (await within(limitMs, reading)) as string[];
    },

    async findText(session, anchor) {
      return ((await run(HOLD, session, anchor, TTL_S)) as string | null) ?? undefined;
    },

    async findInjected(session, items) {
      if (items.length === 0) return new Set();
      const anchors = await within(limitMs, redis.hmget(key(session), ...items.map(sha256)));
      return new Set(items.filter((_, at) => anchors[at] !== null));
    },

    async record(session, anchor, { text, items }) {
      const recorded = await run(RECORD, session, anchor, TTL_S, text, ...items.map(sha256));
      if (recorded === null) return undefined;
      const [standing, first] = recorded as [string, number];
      return { text: standing, isFirst: first === 1 };
    },

    async apply(session, anchor) {
      await run(APPLY, session, anchor, TTL_S);
    },

    async release(session, anchor) {
      return (await run(RELEASE, session, anchor)) as number;
    },
  };
}

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
