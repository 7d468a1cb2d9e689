import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@loom/shared/log.ts';
import type { Redis } from 'ioredis';
import { CompactionPrompts } from '../core/prompts.ts';

/** What a session's persona said when its last compaction began; shared by all replicas. */
export interface PinnedPrompts {
  /** Undefined when nothing is stored, or Redis does not say so in time. */
  find(session: string): Promise<CompactionPrompts | undefined>;
  /** Stores the prompts for 30 days; a fault is logged, for a compaction must not wait for it. */
  pin(session: string, prompts: CompactionPrompts): Promise<void>;
}

const TTL_S = 30 * 24 * 60 * 60;

/** The longest that a waiting request is held up for this record. */
const LIMIT_MS = 200;

/**
 * Opens the record on a shared command connection. Neither call ever rejects.
 *
 * @param keyOf puts Loom's prefix before a name
 */
export function openPinnedPrompts(redis: Redis, keyOf: (name: string) => string, log: Logger): PinnedPrompts {
  const key = (session: string) => keyOf(`compaction:${session}`);

  return {
    async find(session) {
      try {
        const record = await inTime(redis.get(key(session)));
        return record === null ? undefined : CompactionPrompts.parse(JSON.parse(record));
      } catch (error) {
        // The current prompts say nearly the same: better than a request without any.
        log.warn('the prompts of the last compaction cannot be read: the current ones serve', { session, error });
        return undefined;
      }
    },

    async pin(session, prompts) {
      try {
        await inTime(redis.set(key(session), JSON.stringify(prompts), 'EX', TTL_S));
      } catch (error) {
        // The continuation will use the prompts of its own time.
        log.warn('the prompts of this compaction cannot be stored', { session, error });
      }
    },
  };
}

function inTime<T>(answer: Promise<T>): Promise<T> {
  const late = delay(LIMIT_MS, undefined, { ref: false }).then(() => {
    throw new Error(`expected Redis to answer within ${LIMIT_MS} ms`);
  });
  return Promise.race([answer, late]);
}
