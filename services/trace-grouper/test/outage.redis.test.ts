import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { type Bed, type Collector, openBed, startCollector } from './bed.ts';
import { drafts } from './story.ts';

let server: RedisServer;
let collector: Collector;
let bed: Bed;

beforeAll(async () => {
  [server, collector] = await Promise.all([startRedis({ aof: true }), startCollector()]);
});
afterAll(async () => {
  await collector.close();
  await server.close();
});
beforeEach(async () => {
  collector.status = 200;
  collector.spans.length = 0;
  bed = await openBed(server, collector);
});
afterEach(() => bed.close());

const hook = { prompt: 'Mend the gate.' };
const asks = { stopReason: 'tool_use', toolUses: [{ id: 't1', name: 'Bash' }] };
const roots = () => collector.spans.filter(({ name }) => name.startsWith('user-turn'));

/** The turn number `n`, of two calls. */
function turn(n: number) {
  const hex = n.toString(16).padStart(4, '0');
  const trace = { traceId: hex.repeat(8), rootSpanId: hex.repeat(4) };
  const place = { session: `s${n}`, trace: { ...trace, origin: 'hook' as const } };
  return [
    drafts(`${n}-1`, { ...place, hook, ...asks }),
    drafts(`${n}-2`, { ...place, hook, at: 3_000, text: `Mended ${n}.` }),
  ] as const;
}

describe('the grouper', () => {
  test('ends each turn once, however many replicas there are', async () => {
    const groupers = [await bed.start(), await bed.start(), await bed.start()];
    const turns = Array.from({ length: 30 }, (_, at) => turn(at + 1));

    await bed.publish(...turns.flatMap(([first]) => first));
    await bed.publish(...turns.flatMap(([, second]) => second));

    const ended = await bed.ended(30);
    expect(ended.map(({ data }) => data.answer).sort()).toEqual(turns.map((_, at) => `Mended ${at + 1}.`).sort());
    expect(ended.map(({ data }) => data.calls.main)).toEqual(turns.map(() => 2));
    expect((await bed.events('turn.started')).length).toBe(30);
    expect(roots()).toHaveLength(30);
    expect(groupers.map(({ counters }) => counters.opened).reduce((sum, count) => sum + count)).toBe(30);
  });

  test('goes on where a replica left off', async () => {
    const first = await bed.start();
    const [asked, answered] = turn(1);

    await bed.publish(...asked);
    await bed.taken();
    await bed.stop(first);
    await bed.publish(...answered);
    await bed.start();

    const ended = await bed.ended(1);
    expect(ended.map(({ data }) => [data.calls.main, data.answer])).toEqual([[2, 'Mended 1.']]);
    expect((await bed.events('turn.started')).length).toBe(1);
  });

  test('reads what came while there was none before it takes silence for an end', async () => {
    const first = await bed.start();
    const [asked, answered] = turn(1);
    await bed.publish(...asked);
    await bed.taken();
    await bed.stop(first);
    // The next replica thinks of a second of silence as an end, and the turn's alarm rings as soon as it is there.
    await sleep(1_500);
    const alarms = bed.key('bull:turn-end:delayed');
    for (const alarm of await bed.redis.zrange(alarms, '0', '-1')) await bed.redis.zadd(alarms, 0, alarm);
    const others = Array.from({ length: 40 }, (_, at) => turn(at + 2)[1]);
    await bed.publish(...others.flat(), ...answered);

    await bed.start({ LOOM_TURN_IDLE_MS: '1000', LOOM_TURN_TOOL_IDLE_MS: '1000' });

    const ended = (await bed.ended(41)).filter(({ subject }) => subject === 's1');
    expect(ended.map(({ data }) => [data.calls.main, data.endReason, data.answer])).toEqual([
      [2, 'end_turn', 'Mended 1.'],
    ]);
  });

  test('waits for what a killed replica was given, although the session has gone on', async () => {
    await bed.stop(await bed.start());
    const [asked, answered] = turn(1);
    const next = { traceId: 'c'.repeat(32), rootSpanId: 'd'.repeat(16), origin: 'hook' as const };
    await bed.publish(...asked);
    for (const stream of ['requests', 'responses'])
      await bed.redis.xreadgroup('GROUP', 'trace-grouper', 'killed', 'STREAMS', bed.key(stream), '>');
    await bed.start();

    await bed.publish(...answered);
    await bed.publish(...drafts('2-1', { session: 's1', trace: next, hook, at: 5_000, text: 'Done.' }));

    const ended = await bed.ended(2);
    expect(new Set(ended.map(({ data }) => [data.calls.main, data.answer]))).toEqual(
      new Set([
        [2, 'Mended 1.'],
        [1, 'Done.'],
      ]),
    );
  });

  test('loses nothing when Redis is killed in the middle of a turn, and when it comes back', async () => {
    await bed.start();
    const [asked, answered] = turn(1);

    await bed.publish(...asked);
    await bed.taken();
    await server.kill();
    await server.start();
    await until(() => bed.publish(...answered).then(() => true));

    const ended = await bed.ended(1);
    expect(ended.map(({ data }) => [data.calls.main, data.answer])).toEqual([[2, 'Mended 1.']]);
    expect(roots()).toHaveLength(1);
  });

  test('publishes a turn at once while the collector is away, and sends its spans once when it is back', async () => {
    const grouper = await bed.start();
    collector.status = 500;
    const refused = collector.refused;

    await bed.publish(...turn(1).flat());
    await until(async () => collector.refused > refused && (await bed.events('turn.ended')).length === 1);
    const waiting = await until(() => bed.redis.zrange(bed.key('turns-waiting'), '0', '-1'));
    collector.status = 200;
    await bed.idle();

    expect(waiting).toEqual([`${'0001'.repeat(8)}-${'0001'.repeat(4)}`]);
    expect(roots()).toHaveLength(1);
    expect((await bed.events('turn.ended')).length).toBe(1);
    expect(await bed.redis.exists(bed.key('turns-waiting'), bed.key('turns-waiting:size'))).toBe(0);
    expect(grouper.counters).toMatchObject({ exported: 1, dropped: 0 });
  });

  test('gives spans up that the collector refuses for good', async () => {
    const grouper = await bed.start();
    collector.status = 400;

    await bed.publish(...turn(1).flat());
    await bed.ended(1);

    expect(collector.spans).toEqual([]);
    expect(grouper.counters).toMatchObject({ exported: 0, dropped: 1 });
  });

  test('takes what came before it was there, and a second delivery of everything, for one turn', async () => {
    const first = await bed.start();
    await bed.stop(first);
    const [asked, answered] = turn(1);

    await bed.publish(...answered, ...asked, ...answered, ...asked);
    await bed.start();

    const ended = await bed.ended(1);
    expect(ended.map(({ data }) => [data.calls.main, data.answer])).toEqual([[2, 'Mended 1.']]);
  });

  test.each([
    ['decided', 1],
    ['decided and told of', 0],
  ])('goes on with a turn that was %s when its replica was killed', async (_, told) => {
    await bed.stop(await bed.start());
    const [asked, answered] = turn(1);
    const hex = '0001';
    const state = bed.key(`turn:${hex.repeat(8)}-${hex.repeat(4)}`);
    const grouper = await bed.start({ LOOM_TURN_GRACE_MS: '60000' });
    await bed.publish(...asked, ...answered);
    await bed.taken();
    await bed.redis.hset(state, 'ended', 'end_turn', ...(told ? [] : ['published', '1']));
    await bed.stop(grouper);

    await bed.start();
    await bed.publish(...answered);
    await until(() => roots().length > 0);
    await bed.idle();

    expect((await bed.events('turn.ended')).length).toBe(told);
    expect(roots()).toHaveLength(1);
  });
});
