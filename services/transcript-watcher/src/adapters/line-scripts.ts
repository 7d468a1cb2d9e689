// A file's place is a hash: `epoch`, `offset`, `tail`, `known` and `noted` (see Place). A script answers with all five.
const FIND = `
local function find()
  return redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'tail', 'known', 'noted')
end`;

/**
 * KEYS: place, hashes, twins; ARGV: epoch, offset, tail, known, seconds, the file's id. Stores a place unless there is
 * one. Hashes without a place are left from one that is lost: kept, they would count twice.
 */
export const BEGIN = `${FIND}
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('UNLINK', KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'offset', ARGV[2], 'tail', ARGV[3], 'known', ARGV[4], 'noted', '0')
end
local place = find()
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('SADD', KEYS[3], ARGV[6])
redis.call('EXPIRE', KEYS[3], ARGV[5])
return place`;

/**
 * KEYS: place, hashes, twins; ARGV: seconds, the file's id, what goes before an id in a key. What is known of the twin of
 * which most is known is known of a file of which nothing was read yet. The place.
 */
export const ADOPT = `${FIND}
local place = find()
if place[1] ~= '0' or place[2] ~= '0' or place[4] ~= '0' then return place end
local most, twin = 0, nil
for _, id in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local hashes = ARGV[3] .. id .. ':lines'
  local known = id == ARGV[2] and 0 or redis.call('LLEN', hashes)
  if known > most then most, twin = known, hashes end
end
if not twin then return place end
redis.call('COPY', twin, KEYS[2])
redis.call('HSET', KEYS[1], 'known', most)
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return find()`;

/** KEYS: place, hashes; ARGV: epoch, offset, noted, noted then, seconds, hashes. {1, place} when it was this call, else {0, place}. */
export const NOTE = `${FIND}
local place = find()
if place[1] ~= ARGV[1] or place[2] ~= ARGV[2] or place[5] ~= ARGV[3] then return {0, place} end
for at = 6, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[at]) end
redis.call('HSET', KEYS[1], 'noted', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return {1, find()}`;

/** KEYS: place, hashes; ARGV: epoch, offset, tail of offset 0, seconds. {1, place} when it was this call, else {0, place}. */
export const RESTART = `${FIND}
local place = find()
if place[1] ~= ARGV[1] or place[2] ~= ARGV[2] then return {0, place} end
local epoch, known = string.format('%d', ARGV[1] + 1), tostring(redis.call('LLEN', KEYS[2]))
redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', '0', 'tail', ARGV[3], 'known', known, 'noted', '0')
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return {1, find()}`;

/**
 * KEYS: place, hashes, stream, watched session. ARGV: epoch, offset, next offset, next tail, seconds, entries to keep,
 * channel, fallback traceparent; then for each line: hash, payload (or empty), number of fields, the event's fields.
 * {1, traceparent} when the lines were published, else {0, place}.
 *
 * Nothing is published before all lines are noted that stood there before.
 *
 * It touches every key before it has written anything: one of a wrong type fails while nothing has been done.
 */
export const PUBLISH = `${FIND}
local place = find()
if place[1] ~= ARGV[1] or place[2] ~= ARGV[2] or place[5] ~= ARGV[2] then return {0, place} end
redis.call('XLEN', KEYS[3])
local traceparent = redis.call('HGET', KEYS[4], 'traceparent') or ARGV[8]
local at = 9
while at <= #ARGV do
  local first, last = at + 3, at + 2 + ARGV[at + 2]
  for name = first, last, 2 do
    if ARGV[name] == 'traceparent' then ARGV[name + 1] = traceparent end
  end
  redis.call('RPUSH', KEYS[2], ARGV[at])
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', unpack(ARGV, first, last))
  if ARGV[at + 1] ~= '' then redis.call('PUBLISH', ARGV[7], ARGV[at + 1]) end
  at = last + 1
end
redis.call('HSET', KEYS[1], 'offset', ARGV[3], 'tail', ARGV[4], 'noted', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return {1, traceparent}`;
