// One hash a turn, a field for each record, besides them: `seen` when the last one came that counts, `opened` by which
// record and `openedAt` what time, `ended` how, `published`. `…:done` is the set of the requests that an ended turn has.

/** How many turns of a session are remembered by their start. */
const SESSION_TURNS = 50;

/**
 * KEYS: turn, done, the session's turns; ARGV: name, record, request, opens, counts, turn's name, start, seconds.
 * {late | known | added, the opener}.
 */
export const ADD = `
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {ARGV[3] == '' and 'known' or redis.call('SISMEMBER', KEYS[2], ARGV[3]) == 1 and 'known' or 'late', ''}
end
local added = redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if added == 1 and ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'seen', now) end
redis.call('HSETNX', KEYS[1], 'seen', now)
if ARGV[4] == '1' then
  redis.call('HSETNX', KEYS[1], 'opened', ARGV[1])
  redis.call('HSETNX', KEYS[1], 'openedAt', now)
  redis.call('ZADD', KEYS[3], 'LT', ARGV[7], ARGV[6])
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -${SESSION_TURNS + 1})
  redis.call('EXPIRE', KEYS[3], ARGV[8])
end
redis.call('EXPIRE', KEYS[1], ARGV[8])
return {added == 1 and 'added' or 'known', redis.call('HGET', KEYS[1], 'opened') or ''}`;

/** KEYS: captures, done; ARGV: name, record, request, most characters, seconds. late, known, full or added. */
export const CAPTURE = `
if redis.call('EXISTS', KEYS[2]) == 1 then
  return redis.call('SISMEMBER', KEYS[2], ARGV[3]) == 1 and 'known' or 'late'
end
local size = tonumber(redis.call('HGET', KEYS[1], 'size') or '0') + #ARGV[2]
if size > tonumber(ARGV[4]) then return 'full' end
local added = redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
if added == 1 then redis.call('HSET', KEYS[1], 'size', size) end
redis.call('EXPIRE', KEYS[1], ARGV[5])
return added == 1 and 'added' or 'known'`;

/** KEYS: turn, done; ARGV: version, reason, seconds, requests. 0 when the turn has changed, or has ended. */
export const CLOSE = `
if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('HLEN', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'ended', ARGV[2])
redis.call('SADD', KEYS[2], '')
for at = 4, #ARGV do redis.call('SADD', KEYS[2], ARGV[at]) end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1`;

/** KEYS: waiting turns by time, their sizes; ARGV: turn, time, size, most turns, most characters. Those given up. */
export const HOLD = `
redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local size = 0
for _, each in ipairs(redis.call('HVALS', KEYS[2])) do size = size + tonumber(each) end
local dropped = {}
while redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[4]) or (size > tonumber(ARGV[5]) and redis.call('ZCARD', KEYS[1]) > 1) do
  local oldest = redis.call('ZPOPMIN', KEYS[1])[1]
  size = size - tonumber(redis.call('HGET', KEYS[2], oldest) or '0')
  redis.call('HDEL', KEYS[2], oldest)
  dropped[#dropped + 1] = oldest
end
return dropped`;
