import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { backlogMs } from '../../src/adapters/backlog.ts';

const log = createLog({ service: 'test', level: 'error' });
log.silent = true;

let server: RedisServer;
let streams: Streams;
/** Given to nobody, an hour ago. */
let entry: string;

beforeAll(async () => {
  server = await startRedis();
  streams = new Streams({ url: server.url, prefix: 't', source: '/test', log });
  await until(() => streams.connected);
});
afterAll(async () => {
  streams.close();
  await server.close();
});
beforeEach(async () => {
  await streams.redis.flushall();
  for (const name of ['requests', 'responses', 'captures', 'transcripts'])
    await streams.redis.xgroup('CREATE', `t:${name}`, 'g', '$', 'MKSTREAM');
  const [seconds] = await streams.redis.time();
  entry = `${(Number(seconds) - 3_600) * 1_000}-0`;
  await streams.redis.xadd('t:responses', entry, 'a', 'b');
});

const take = () => streams.redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', 't:responses', '>');

/** The same streams, where the entry is taken by a replica right after they were asked with this command. */
function takenAfter(command: 'xpending' | 'xinfo' | 'xrange'): Streams {
  const asked = Object.create(streams.redis);
  asked[command] = async (...words: unknown[]) => {
    const reply = await (streams.redis[command] as (...words: unknown[]) => Promise<unknown>)(...words);
    await take();
    return reply;
  };
  return { key: (name: string) => streams.key(name), redis: asked } as Streams;
}

describe('backlogMs', () => {
  test('is the age of what nobody has read, or has not settled, and 0 when there is nothing', async () => {
    const unread = await backlogMs(streams, 'g');
    await take();
    const unsettled = await backlogMs(streams, 'g');
    await streams.redis.xack('t:responses', 'g', entry);

    expect([unread >= 3_600_000, unsettled >= 3_600_000, await backlogMs(streams, 'g')]).toEqual([true, true, 0]);
  });

  test.each(['xpending', 'xinfo', 'xrange'] as const)(
    'misses nothing that is taken while it looks: after %s',
    async (command) => {
      expect(await backlogMs(takenAfter(command), 'g')).toBeGreaterThanOrEqual(3_600_000);
    },
  );
});
