import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { deadLetter } from '@loom/shared/dead-letter.ts';
import { decodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { openBus } from './bus.ts';
import { draft, event, SESSION } from './events.ts';
import { killAll, runHere } from './loom.ts';

const bus = await openBus();
const { redis } = bus;
let ids: string[];

/** Three events on a stream, and each of them given up by a group. */
beforeEach(async () => {
  await redis.flushall();
  for (const dropped of [1, 2, 3]) await bus.publish(draft(event('spool.full', { gateway: 'g1', dropped })));
  const entries = await redis.xrange('t:alerts', '-', '+');
  for (const [id, fields] of entries) {
    await bus.streams.append([
      deadLetter('t:dead-letters', { key: 't:alerts', id, fields, deliveries: 5 }, 'cook', 'too hot'),
    ]);
  }
  ids = (await redis.xrange('t:dead-letters', '-', '+')).map(([id]) => id);
});
afterAll(async () => {
  killAll();
  await bus.close();
});

const deadLetters = (...words: string[]) => runHere(['dead-letters', ...words], bus.environment);
const eventsOf = async (key: string): Promise<LoomEvent[]> =>
  (await redis.xrange(key, '-', '+')).map(([, fields]) => decodeEvent(fields));

describe('loom dead-letters', () => {
  test('lists them, newest first', async () => {
    const { code, lines, stderr } = await deadLetters('list');

    expect([code, stderr]).toEqual([0, '']);
    expect(lines.map((line) => line.replace(/ \d\d:\d\d:\d\d /, ' '))).toEqual(
      ids.toReversed().map((id) => `${id} 3f2a91c0 spool.full of t:alerts, cook ×5: too hot`),
    );
  });

  test('shows all fields of one', async () => {
    const { lines } = await deadLetters('show', ids[1] as string);

    const [origin] = (await redis.xrange('t:alerts', '-', '+'))[1] as [string, string[]];
    expect(lines.slice(0, 3)).toEqual([
      `dead letter ${ids[1]}`,
      `from t:alerts, entry ${origin}`,
      'given up by cook after 5 deliveries: too hot',
    ]);
    expect(lines.slice(-4)).toEqual(['data: {', '  "gateway": "g1",', '  "dropped": 2', '}']);
    expect(lines).toContain(`subject: ${SESSION}`);
  });

  test('prints them as JSON', async () => {
    const { lines } = await deadLetters('list', '--json');

    const shown = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(shown.map(({ entry, group, data }) => [entry, group, data])).toEqual(
      [3, 2, 1].map((dropped) => [ids[dropped - 1], 'cook', { gateway: 'g1', dropped }]),
    );
  });

  test('replays one: the very event goes back to the end of its stream, and is a dead letter no more', async () => {
    const before = await eventsOf('t:alerts');

    const { code, lines } = await deadLetters('replay', ids[1] as string);

    const [newest] = (await redis.xrevrange('t:alerts', '+', '-', 'COUNT', 1))[0] as [string, string[]];
    expect([code, lines]).toEqual([0, [`${ids[1]} is now t:alerts ${newest}`]]);
    expect(await eventsOf('t:alerts')).toEqual([...before, before[1]]);
    expect((await redis.xrange('t:dead-letters', '-', '+')).map(([id]) => id)).toEqual([ids[0], ids[2]]);
  });

  test('replays several in the order in which they came', async () => {
    const before = await eventsOf('t:alerts');

    await deadLetters('replay', ...ids.toReversed());

    expect(await eventsOf('t:alerts')).toEqual([...before, ...before]);
    expect(await redis.xlen('t:dead-letters')).toBe(0);
  });

  test('replays the others when one has nowhere to go', async () => {
    const [, fields] = (await redis.xrange('t:dead-letters', '-', '+'))[0] as [string, string[]];
    const lost = fields.with(fields.indexOf('origin') + 1, 't:edits:gone');
    await redis
      .multi()
      .del('t:dead-letters')
      .xadd('t:dead-letters', '1-1', ...lost)
      .xadd('t:dead-letters', '2-1', ...fields)
      .exec();

    const { code, lines, stderr } = await deadLetters('replay', '--all');

    expect([code, lines.map((line) => line.replace(/\d+-\d+$/, '…'))]).toEqual([1, ['2-1 is now t:alerts …']]);
    expect(stderr).toBe('loom: 1-1 comes from t:edits:gone, which is no stream any more; nobody would read it there\n');
    expect((await redis.xrange('t:dead-letters', '-', '+')).map(([id]) => id)).toEqual(['1-1']);
  });

  test.each([
    ['is gone', async () => void (await redis.del('t:alerts'))],
    ['is another thing now', async () => void (await redis.multi().del('t:alerts').set('t:alerts', 'tea').exec())],
  ])('keeps a letter whose stream %s', async (_, arrange) => {
    await arrange();

    expect(await deadLetters('replay', ids[0] as string)).toEqual({
      code: 1,
      lines: [],
      stderr: `loom: ${ids[0]} comes from t:alerts, which is no stream any more; nobody would read it there\n`,
    });
    expect(await redis.xlen('t:dead-letters')).toBe(3);
  });

  test('keeps a letter when Redis is too full to take the entry', async () => {
    await redis.config('SET', 'maxmemory', '1');

    const { code, stderr } = await deadLetters('replay', ids[0] as string);

    await redis.config('SET', 'maxmemory', '0');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^loom: Redis at 127\.0\.0\.1:\d+ refuses: OOM .*\n$/);
    expect([await redis.xlen('t:alerts'), await redis.xlen('t:dead-letters')]).toEqual([3, 3]);
  });

  test('drops with --yes, and refuses without it where nobody can be asked', async () => {
    expect(await deadLetters('drop', '--all')).toEqual({
      code: 1,
      lines: [],
      stderr: 'loom: expected --yes to drop 3 dead letters, since nobody can be asked here\n',
    });
    expect(await deadLetters('drop', ids[0] as string, '--yes')).toEqual({
      code: 0,
      lines: ['dropped 1 dead letter'],
      stderr: '',
    });
    expect((await deadLetters('drop', '--all', '--yes')).lines).toEqual(['dropped 2 dead letters']);
    expect((await deadLetters('drop', '--all', '--yes')).lines).toEqual(['dropped 0 dead letters']);
    expect(await redis.xlen('t:dead-letters')).toBe(0);
  });

  test.each(['show', 'replay', 'drop'])('says so when there is none to %s', async (verb) => {
    const yes = verb === 'drop' ? ['--yes'] : [];

    expect(await deadLetters(verb, '1-1', ...yes)).toEqual({
      code: 1,
      lines: [],
      stderr: 'loom: there is no dead letter 1-1; loom dead-letters list shows what there is\n',
    });
  });

  test('neither shows nor replays an entry that is no dead letter', async () => {
    const id = (await redis.xadd('t:dead-letters', '*', 'tea', 'four')) as string;

    const { lines } = await deadLetters('list');
    const replayed = await deadLetters('replay', id);

    expect(lines[0]).toBe(`${id} is no dead letter of Loom's`);
    expect([replayed.code, replayed.stderr]).toEqual([
      1,
      `loom: ${id} is no dead letter of Loom's: it does not say where it comes from\n`,
    ]);
  });

  test('takes no malformed id', async () => {
    const { code, stderr } = await deadLetters('show', 'tea');

    expect([code, stderr.trimEnd().split('\n').length]).toEqual([2, 1]);
    expect(stderr).toContain("'tea' is invalid for argument 'id'. Expected an entry id");
  });
});
