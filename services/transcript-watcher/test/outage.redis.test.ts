import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { World } from './world.ts';

/** Its Redis comes back empty. */
const world = await World.open();
const S1 = '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b';
const MAIN = `-home-alpha/${S1}.jsonl`;
const AGENT = `-home-alpha/${S1}/subagents/agent-a1.jsonl`;
const POLLING = { LOOM_WATCH_POLL_MS: '50' };

afterEach(() => world.clear());
afterAll(() => world.close());

/** By then it is known where reading starts in all files that were there. */
const begun = () => until(() => world.redis.hexists(`t:watched:${S1}`, 'begun'));

describe('a Redis that comes back empty', () => {
  test('is told where reading stands by a watcher that has not looked at the files since, and another one goes on there', async () => {
    const first = await world.start({ LOOM_WATCH_POLL_MS: '60000' });
    await world.request(S1, `/home/alpha/.claude/projects/${MAIN}`);
    await begun();
    await world.append(AGENT, 'not seen by the first');
    await world.server.kill();
    await until(() => first.lines.includes('warn: Redis is away'));
    await world.append(MAIN, 'one');

    await world.server.start();
    await begun();
    await until(() => world.redis.exists(`t:bull:watch:de:${S1}`));
    await world.start(POLLING);
    await first.stop();
    await world.append(MAIN, 'two');

    expect((await world.texts(3)).sort()).toEqual(['not seen by the first', 'one', 'two']);
  });
});

describe('a lease that is given anew', () => {
  test('is not let go with the one that was lost', async () => {
    const replica = await world.start(POLLING);
    await world.request(S1);
    await begun();
    await world.append(MAIN, 'one');
    await world.texts(1);

    await world.server.kill();
    await until(() => replica.lines.includes('warn: Redis is away'));
    await world.server.start();
    await until(() => replica.lines.includes('warn: lease lost'));
    await until(() => replica.lines.filter((line) => line === 'info: lease taken').length === 2);
    await begun();
    await world.append(MAIN, 'two');

    expect(await world.texts(1)).toEqual(['two']);
    expect(replica.watcher.counters.held).toBe(1);
  });
});

describe('a Redis that is full', () => {
  test('keeps nobody from going on where it stood when there is room again, and nothing is published twice', async () => {
    const replica = await world.start(POLLING);
    await world.request(S1);
    await begun();
    await world.append(MAIN, 'one');
    await world.texts(1);
    await world.redis.config('SET', 'maxmemory', '1');
    await world.append(MAIN, 'two');
    const refusals = async () =>
      Number(/errorstat_OOM:count=(\d+)/.exec(await world.redis.info('errorstats'))?.[1] ?? 0);
    const before = await refusals();
    // As often as it takes to count as a fault that does not pass.
    await until(async () => (await refusals()) >= before + 10);
    await world.redis.config('SET', 'maxmemory', '0');

    expect(await world.texts(2)).toEqual(['one', 'two']);
    await world.append(MAIN, 'three');
    expect(await world.texts(3)).toEqual(['one', 'two', 'three']);
    expect(replica.lines.filter((line) => line.startsWith('error'))).toEqual([]);
  });
});
