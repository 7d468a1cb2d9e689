import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { capOf } from '@loom/shared/event.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { LineStore, type OutgoingLine } from '../../src/adapters/line-store.ts';
import { InvalidPlaceError, START } from '../../src/adapters/place.ts';
import type { LineFacts } from '../../src/core/classify.ts';
import { openTailBed, type TailBed } from '../fixtures/tail-bed.ts';

const TTL_S = 30 * 24 * 60 * 60;
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const NEWER = '00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b8-01';

const server = await startRedis();
afterAll(() => server.close());

let bed: TailBed;
let store: LineStore;
beforeEach(async () => {
  bed = await openTailBed(server);
  store = new LineStore(await bed.openStreams());
});
afterEach(() => bed.close());

const ref = { session: 's', file: '-a/s.jsonl' };

function line(offset: number, changes: Partial<OutgoingLine> = {}): OutgoingLine {
  const facts: LineFacts = {
    form: 'json',
    lineType: 'user',
    role: null,
    contentTypes: [],
    text: '',
    textTruncated: false,
  };
  return { hash: `hash of ${offset}`, data: { file: ref.file, offset, bytes: 10, epoch: 0, ...facts }, ...changes };
}

describe('begin', () => {
  test('stores a place once', async () => {
    expect(await store.find(ref)).toBeUndefined();
    const place = { ...START, offset: 7, tail: '7:x' };
    expect(await store.begin(ref, place)).toEqual(place);
    expect(await store.begin(ref, START)).toEqual(place);
    expect(await store.find(ref)).toEqual(place);
  });

  test('knows nothing of the lines of a place that is lost', async () => {
    await store.begin(ref, { ...START, offset: 7 });
    await store.note(ref, { ...START, offset: 7 }, 7, ['a']);
    await bed.redis.del(await bed.placeKey());

    await store.begin(ref, START);
    expect(await store.readHashes(ref, 10)).toEqual([]);
  });

  test('keeps sessions and files apart', async () => {
    await store.begin(ref, { ...START, offset: 7 });

    expect(await store.find({ ...ref, session: 't' })).toBeUndefined();
    expect(await store.find({ ...ref, file: '-b/s.jsonl' })).toBeUndefined();
  });
});

describe('note', () => {
  const from = { ...START, offset: 30, tail: '30:x' };
  beforeEach(() => store.begin(ref, from));

  test('takes lines as known, up to where they reach', async () => {
    expect(await store.note(ref, from, 20, ['a', 'b'])).toEqual({ done: true, place: { ...from, noted: 20 } });
    expect(await store.note(ref, { ...from, noted: 20 }, 30, [])).toEqual({
      done: true,
      place: { ...from, noted: 30 },
    });

    expect(await store.readHashes(ref, 10)).toEqual(['a', 'b']);
    expect(await bed.lines()).toEqual([]);
    expect((await store.restart(ref, from)).place).toEqual({ ...START, epoch: 1, known: 2 });
  });

  test.each([
    ['noted the same', {}, 20],
    ['begun another epoch', { epoch: 1 }, 0],
    ['gone on', { offset: 40 }, 0],
  ])('does nothing when somebody else has %s', async (_, expected, noted) => {
    await store.note(ref, from, noted, ['a']);

    const answer = await store.note(ref, { ...from, ...expected }, 20, ['b']);

    expect(answer).toEqual({ done: false, place: { ...from, noted } });
    expect(await store.readHashes(ref, 10)).toEqual(['a']);
  });

  test('does nothing when Redis has lost the place', async () => {
    await bed.redis.flushall();

    expect(await store.note(ref, from, 20, ['a'])).toEqual({ done: false, place: undefined });
    expect(await bed.redis.keys(`${bed.prefix}:*`)).toEqual([]);
  });

  test('comes before anything is published', async () => {
    const early = await store.publish(ref, from, { offset: 40, tail: '' }, [line(30)]);

    expect(early).toEqual({ published: false, place: from });
    expect(await bed.lines()).toEqual([]);
  });

  test('lets what it keeps lapse after 30 days', async () => {
    const key = await bed.placeKey();
    await bed.redis.expire(key, 100);
    await store.note(ref, from, 20, ['a']);

    expect([await bed.redis.ttl(key), await bed.redis.ttl(`${key}:lines`)]).toEqual([TTL_S, TTL_S]);
  });
});

describe('publish', () => {
  test('writes a whole event, and moves the place behind it', async () => {
    await store.begin(ref, START);
    await bed.redis.hset(`${bed.prefix}:watched:s`, 'traceparent', TRACE);

    const publication = await store.publish(ref, START, { offset: 10, tail: '10:x' }, [line(0)]);

    expect(publication).toEqual({ published: true, traceparent: TRACE });
    const { time, ...event } = (await bed.lines())[0] ?? { time: '' };
    expect(new Date(time).toISOString()).toBe(time);
    expect(event).toEqual({
      type: 'transcript.line',
      id: '71980ac46627f6b2-0-0',
      source: '/loom/transcript-watcher/test',
      subject: 's',
      traceparent: TRACE,
      data: line(0).data,
    });
    expect(await store.find(ref)).toEqual({ epoch: 0, offset: 10, tail: '10:x', known: 0, noted: 10 });
    expect(await store.readHashes(ref, 10)).toEqual(['hash of 0']);
  });

  test('takes the newest traceparent of the session each time, and the same one of its own when there is none', async () => {
    const other = new LineStore(await bed.openStreams());
    await store.begin(ref, START);

    const first = await store.publish(ref, START, { offset: 10, tail: '' }, [line(0)]);
    const second = await other.publish(ref, { ...START, offset: 10 }, { offset: 20, tail: '' }, [line(10)]);
    await bed.redis.hset(`${bed.prefix}:watched:s`, 'traceparent', TRACE);
    await store.publish(ref, { ...START, offset: 20 }, { offset: 30, tail: '' }, [line(20)]);
    await bed.redis.hset(`${bed.prefix}:watched:s`, 'traceparent', NEWER);
    await store.publish(ref, { ...START, offset: 30 }, { offset: 50, tail: '' }, [line(30), line(40)]);

    expect(first).toEqual({ published: true, traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/) });
    expect(second).toEqual(first);
    const { traceparent } = first as { traceparent: string };
    const seen = (await bed.lines()).map((event) => event.traceparent);
    expect(seen).toEqual([traceparent, traceparent, TRACE, NEWER, NEWER]);
  });

  test('does nothing when somebody else has moved the place, and says where it is', async () => {
    await store.begin(ref, START);
    await store.publish(ref, START, { offset: 10, tail: '10:x' }, [line(0)]);

    expect(await store.publish(ref, START, { offset: 10, tail: '10:x' }, [line(0)])).toEqual({
      published: false,
      place: { epoch: 0, offset: 10, tail: '10:x', known: 0, noted: 10 },
    });
    await store.restart(ref, { ...START, offset: 10 });
    expect(await store.publish(ref, { ...START, offset: 10 }, { offset: 20, tail: '' }, [line(10)])).toEqual({
      published: false,
      place: { epoch: 1, offset: 0, tail: '0:', known: 1, noted: 0 },
    });
    expect(await bed.redis.xlen(`${bed.prefix}:transcripts`)).toBe(1);
    expect(await store.readHashes(ref, 10)).toEqual(['hash of 0']);
  });

  test('does nothing when Redis has lost the place', async () => {
    expect(await store.publish(ref, START, { offset: 10, tail: '' }, [line(0)])).toEqual({
      published: false,
      place: undefined,
    });
    expect(await bed.redis.keys(`${bed.prefix}:*`)).toEqual([]);
  });

  test('tells the channel of the session, which has no prefix, of lines that are objects', async () => {
    const subscriber = server.client();
    const heard: string[][] = [];
    subscriber.on('pmessage', (...message) => heard.push(message));
    await subscriber.psubscribe('transcript:*');
    await store.begin(ref, START);

    const lines = [line(0, { payload: '{"n":1.0,"e":"ä👩"}' }), line(10), line(20, { payload: '{"n":1}' })];
    await store.publish(ref, START, { offset: 30, tail: '' }, lines);

    await until(() => heard.length >= 2);
    expect(heard).toEqual([
      ['transcript:*', 'transcript:s', '{"n":1.0,"e":"ä👩"}'],
      ['transcript:*', 'transcript:s', '{"n":1}'],
    ]);
  });

  test('lets what it keeps lapse after 30 days without a line', async () => {
    await store.begin(ref, START);
    const key = await bed.placeKey();
    expect(await bed.redis.ttl(key)).toBe(TTL_S);

    await bed.redis.expire(key, 100);
    await store.publish(ref, START, { offset: 10, tail: '' }, [line(0)]);
    expect([await bed.redis.ttl(key), await bed.redis.ttl(`${key}:lines`)]).toEqual([TTL_S, TTL_S]);

    await bed.redis.expire(key, 100);
    await bed.redis.expire(`${key}:lines`, 100);
    await store.restart(ref, { ...START, offset: 10 });
    expect([await bed.redis.ttl(key), await bed.redis.ttl(`${key}:lines`)]).toEqual([TTL_S, TTL_S]);
  });

  test('trims the stream to its cap, where nobody else does', async () => {
    const stream = `${bed.prefix}:transcripts`;
    const cap = capOf('transcripts');
    const filling = bed.redis.pipeline();
    for (let at = 0; at < cap; at += 1) filling.xadd(stream, '*', 'a', 'b');
    await filling.exec();
    await store.begin(ref, START);
    const lines = Array.from({ length: 300 }, (_, at) => line(at));
    await store.publish(ref, START, { offset: 300, tail: '' }, lines);

    const length = await bed.redis.xlen(stream);
    expect(length).toBeGreaterThanOrEqual(cap);
    expect(length).toBeLessThan(cap + 200);
  });

  test('heals when Redis has forgotten its scripts', async () => {
    await store.begin(ref, START);
    await store.publish(ref, START, { offset: 10, tail: '10:x' }, [line(0)]);
    await bed.redis.script('FLUSH');

    await store.publish(ref, { ...START, offset: 10 }, { offset: 20, tail: '20:x' }, [line(10)]);
    await bed.redis.script('FLUSH');
    await store.restart(ref, { ...START, offset: 20 });
    await bed.redis.script('FLUSH');

    expect(await store.begin(ref, START)).toEqual({ epoch: 1, offset: 0, tail: '0:', known: 2, noted: 0 });
  });

  test.each([
    ['the place', (bed: TailBed, key: string) => [key, bed]],
    ['the hashes', (bed: TailBed, key: string) => [`${key}:lines`, bed]],
    ['the stream', (bed: TailBed) => [`${bed.prefix}:transcripts`, bed]],
    ['the session', (bed: TailBed) => [`${bed.prefix}:watched:s`, bed]],
  ])('does nothing by halves when %s is of another type', async (_, keyOf) => {
    await store.begin(ref, START);
    const place = await bed.placeKey();
    const key = String(keyOf(bed, place)[0]);
    await bed.redis.set(key, 'garbage');
    const before = (await bed.redis.keys(`${bed.prefix}:*`)).sort();

    await expect(store.publish(ref, START, { offset: 10, tail: '' }, [line(0)])).rejects.toThrow('WRONGTYPE');

    expect((await bed.redis.keys(`${bed.prefix}:*`)).sort()).toEqual(before);
    if (key !== place) expect(await store.find(ref)).toEqual(START);
  });

  test('does nothing when Redis is full', async () => {
    await store.begin(ref, START);
    await bed.redis.config('SET', 'maxmemory', '1');
    try {
      await expect(store.publish(ref, START, { offset: 10, tail: '' }, [line(0)])).rejects.toThrow('OOM');
    } finally {
      await bed.redis.config('SET', 'maxmemory', '0');
    }

    expect(await store.find(ref)).toEqual(START);
    expect(await bed.lines()).toEqual([]);
  });
});

describe('adopt', () => {
  const twin = { ...ref, file: '-b/s.jsonl' };

  test('takes as known what is known of the same transcript in another project, for 30 days', async () => {
    await store.begin(ref, START);
    await store.publish(ref, START, { offset: 10, tail: '' }, [line(0)]);
    for (const key of await bed.redis.keys(`${bed.prefix}:transcript:*`)) await bed.redis.expire(key, 100);
    await store.begin(twin, START);

    expect(await store.adopt(twin)).toEqual({ ...START, known: 1 });
    expect(await store.readHashes(twin, 10)).toEqual(['hash of 0']);
    const keys = (await bed.redis.keys(`${bed.prefix}:transcript:*`)).sort();
    const ofRef = keys.filter((key) => key.includes('71980ac46627f6b2'));
    const others = keys.filter((key) => !ofRef.includes(key));
    expect(await Promise.all(ofRef.map((key) => bed.redis.ttl(key)))).toEqual([100, 100]);
    expect(await Promise.all(others.map((key) => bed.redis.ttl(key)))).toEqual([TTL_S, TTL_S, TTL_S]);
  });

  test('does nothing for a file that was read, nor for another transcript, and adopts once', async () => {
    await store.begin(ref, START);
    await store.publish(ref, START, { offset: 10, tail: '10:x' }, [line(0)]);
    await store.begin(twin, START);
    await store.publish(twin, START, { offset: 20, tail: '20:x' }, [line(0), line(10)]);
    const other = { ...ref, file: '-b/s/subagents/agent-s.jsonl' };
    await store.begin(other, START);
    const third = { ...ref, file: '-c/s.jsonl' };
    await store.begin(third, START);

    expect(await store.adopt(ref)).toEqual({ epoch: 0, offset: 10, tail: '10:x', known: 0, noted: 10 });
    expect(await store.adopt(other)).toEqual(START);
    expect(await store.adopt(third)).toEqual({ ...START, known: 2 });
    await store.publish(twin, { ...START, offset: 20 }, { offset: 30, tail: '' }, [line(20)]);
    expect(await store.adopt(third)).toEqual({ ...START, known: 2 });
  });

  test('says nothing of a place that Redis has lost', async () => {
    expect(await store.adopt(ref)).toBeUndefined();
  });
});

describe('restart', () => {
  test('begins one epoch, however many ask for it', async () => {
    const from = await store.begin(ref, { ...START, offset: 10 });

    const answers = await Promise.all([store.restart(ref, from), store.restart(ref, from)]);

    const place = { epoch: 1, offset: 0, tail: '0:', known: 0, noted: 0 };
    expect(answers).toEqual([
      { done: true, place },
      { done: false, place },
    ]);
  });

  test('says nothing of a place that Redis has lost', async () => {
    expect(await store.restart(ref, START)).toEqual({ done: false, place: undefined });
  });
});

describe('readHashes', () => {
  test('gives the first ones, oldest first, more than one read may ask for', async () => {
    await store.begin(ref, START);
    const hashes = Array.from({ length: 20_005 }, (_, at) => `hash ${at}`);
    await bed.redis.rpush(`${await bed.placeKey()}:lines`, ...hashes);

    expect(await store.readHashes(ref, 20_003)).toEqual(hashes.slice(0, 20_003));
    expect(await store.readHashes(ref, 0)).toEqual([]);
  });
});

describe('find', () => {
  test.each([
    ['a missing field', { offset: '1', tail: '', known: '0', noted: '0' }],
    ['an offset that is no number', { epoch: '0', offset: 'x', tail: '', known: '0', noted: '0' }],
    ['a negative offset', { epoch: '0', offset: '-1', tail: '', known: '0', noted: '0' }],
    ['a fraction', { epoch: '0.5', offset: '1', tail: '', known: '0', noted: '0' }],
    ['nothing of what is noted', { epoch: '0', offset: '1', tail: '', known: '0' }],
  ])('says clearly what it found where a place has %s', async (_, fields) => {
    await store.begin(ref, START);
    const key = await bed.placeKey();
    await bed.redis.del(key);
    await bed.redis.hset(key, fields);

    const found = store.find(ref);

    await expect(found).rejects.toThrow(InvalidPlaceError);
    await expect(found).rejects.toThrow(`expected epoch, offset, tail, known and noted in ${key}, got {`);
  });
});
