import { randomUUID } from 'node:crypto';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import type { Share } from '../core/fair-share.ts';

/** A replica that has not reported for so long is not there, milliseconds. */
const SILENT_MS = 6_000;
const TTL_S = 60;

/**
 * KEYS[1] hash: one field a replica, `<Redis' time> <held> <room>`; ARGV: own id, held, room, silence, seconds. What the
 * others reported last, `<held> <room>` each; who is silent is forgotten.
 */
const REPORT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %s %s', now, ARGV[2], ARGV[3]))
redis.call('EXPIRE', KEYS[1], ARGV[5])
local others = {}
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local reported, share = string.match(all[at + 1], '^(%d+) (%d+ %d+)$')
  if not reported or math.abs(now - reported) > tonumber(ARGV[4]) then redis.call('HDEL', KEYS[1], all[at])
  elseif all[at] ~= ARGV[1] then table.insert(others, share) end
end
return others`;

/** The watchers that are there, and what each holds: `<prefix>:watchers`. */
export class Replicas {
  readonly #streams: Streams;
  readonly #id = randomUUID();

  constructor(streams: Streams) {
    this.#streams = streams;
  }

  /** Says what this replica holds; resolves to what the others do. Rejects while Redis is away. */
  async report({ held, room }: Share): Promise<Share[]> {
    const { redis } = this.#streams;
    const answer = await untraced(() => redis.eval(REPORT, 1, this.#key, this.#id, held, room, SILENT_MS, TTL_S));
    return (answer as string[]).map((share) => {
      const [held = 0, room = 0] = share.split(' ').map(Number);
      return { held, room };
    });
  }

  /** This replica takes no more. Rejects while Redis is away; then its silence says it. */
  async leave(): Promise<void> {
    await untraced(() => this.#streams.redis.hdel(this.#key, this.#id));
  }

  get #key(): string {
    return this.#streams.key('watchers');
  }
}
