import { appendFile, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import type { Tail } from '../src/tail.ts';
import { FILE, openTailBed, SESSION, type TailBed } from './fixtures/tail-bed.ts';

const server = await startRedis({ aof: true });
afterAll(() => server.close());

let bed: TailBed;
let tail: Awaited<ReturnType<TailBed['openTail']>>;
beforeEach(async () => {
  bed = await openTailBed(server);
  tail = await bed.openTail();
});
afterEach(() => bed.close());

const write = (text: string) => writeFile(bed.path, text);
const append = (text: string) => appendFile(bed.path, text);
/** By renaming, as Syncthing does it. */
async function replace(text: string): Promise<void> {
  await writeFile(`${bed.path}.tmp`, text);
  await rename(`${bed.path}.tmp`, bed.path);
}
const read = (lines: number, moved = lines > 0) => ({ state: 'read', lines, moved });

describe('begin', () => {
  test('starts behind the last complete line that is there', async () => {
    await write('a\nb\nto');

    expect(await tail.begin('end')).toEqual(read(0));
    expect(await tail.read()).toEqual(read(0));
    await append('rn\nc\n');
    expect(await tail.read()).toEqual(read(2));
    expect(await bed.texts()).toEqual(['torn', 'c']);
  });

  test('finds the last complete line before a torn one of any length', async () => {
    await write(`a\n${'x'.repeat(600_000)}`);
    await tail.begin('end');
    await append('\nb\n');

    await tail.read();
    expect((await bed.lines()).map(({ data }) => [data.offset, data.bytes])).toEqual([
      [2, 600_001],
      [600_003, 2],
    ]);
  });

  test('starts at the first line where it is to, or where there was no file', async () => {
    await write('a\n');
    await tail.begin('start');
    await tail.read();
    const later = await bed.openTail({ file: FILE.replace('alpha', 'beta') });

    expect(await later.begin('end')).toEqual({ state: 'absent' });
    expect(await later.read()).toEqual({ state: 'absent' });
    await mkdir(dirname(bed.path).replace('alpha', 'beta'));
    await writeFile(bed.path.replace('alpha', 'beta'), 'b\n');
    expect(await later.read()).toEqual(read(1));
    expect(await bed.texts()).toEqual(['a', 'b']);
  });

  test('leaves a place that is stored as it is', async () => {
    await write('a\nb\n');
    await tail.begin('start');
    const other = await bed.openTail();
    await other.begin('end');

    expect(await other.read()).toEqual(read(2));
  });

  test('is asked for before a read', async () => {
    await write('a\n');

    await expect(tail.read()).rejects.toThrow(`expected begin before read, of ${FILE}`);
  });

  test('is made up for by the first read after a refusal', async () => {
    await writeFile(`${bed.path}.other`, 'a\n');
    await symlink(`${bed.path}.other`, bed.path);

    expect(await tail.begin('end')).toEqual({ state: 'refused', reason: 'linked' });
    expect(await tail.read()).toEqual({ state: 'refused', reason: 'linked' });
    await rename(`${bed.path}.other`, bed.path);
    expect(await tail.read()).toEqual(read(0, true));
    await append('b\n');
    expect(await tail.read()).toEqual(read(1));
    expect(await bed.texts()).toEqual(['b']);
  });
});

describe('read', () => {
  test('publishes each line with what it is and where it stands', async () => {
    const line = '{"type":"user","uuid":"u","message":{"role":"user","content":"Tée?"}}';
    const agent = await bed.openTail({ agentId: 'a1' });
    await agent.begin('end');
    await write(`\n${line}\r\nplain\n`);

    expect(await agent.read()).toEqual(read(2));
    const facts = { file: FILE, epoch: 0, agentId: 'a1', textTruncated: false };
    expect((await bed.lines()).map(({ data }) => data)).toEqual([
      {
        ...facts,
        ...{ offset: 1, bytes: 72, form: 'json', lineType: 'user', role: 'user', contentTypes: ['text'] },
        ...{ uuid: 'u', text: 'Tée?', line },
      },
      {
        ...facts,
        ...{
          offset: 73,
          bytes: 6,
          form: 'raw',
          lineType: null,
          role: null,
          contentTypes: [],
          text: 'plain',
          line: 'plain',
        },
      },
    ]);
    expect((await bed.lines()).map(({ id, subject }) => [id.slice(16), subject])).toEqual([
      ['-0-1', SESSION],
      ['-0-73', SESSION],
    ]);
    expect(agent.counters).toEqual({ lines: 2, oversized: 0, known: 0, discontinuities: 0 });
  });

  test('waits for the end of a line, written byte by byte', async () => {
    await tail.begin('end');
    const bytes = Buffer.from('{"a":"ß👩"}\nb\n');
    for (const byte of bytes) {
      await appendFile(bed.path, Buffer.from([byte]));
      await tail.read();
    }

    expect(await bed.texts()).toEqual(['{"a":"ß👩"}', 'b']);
  });

  test('moves behind empty lines', async () => {
    await tail.begin('end');
    await write('\n\n\n');

    expect(await tail.read()).toEqual(read(0, true));
    expect(await tail.read()).toEqual(read(0));
  });

  test('publishes bursts of large lines', async () => {
    await tail.begin('end');
    const burst = (from: number) => Array.from({ length: 7 }, (_, at) => `${from + at}${'ä'.repeat(25_000)}`);
    const bursts = Array.from({ length: 8 }, (_, at) => burst(at * 7));
    for (const lines of bursts) {
      await append(`${lines.join('\n')}\n`);
      expect(await tail.read()).toEqual(read(7));
    }

    expect(await bed.texts()).toEqual(bursts.flat());
  });

  test('leaves the text of a line out that is longer than 8 MiB, and goes on behind it', async () => {
    const subscriber = server.client();
    const heard: string[] = [];
    subscriber.on('message', (_channel, payload) => heard.push(payload));
    await subscriber.subscribe(`transcript:${SESSION}`);
    await tail.begin('start');
    const longest = `{"a":"${'x'.repeat(8 * 1_024 * 1_024 - 8)}"}`;
    await write(`${longest}\n{"a":"${'x'.repeat(9_000_000)}"}\n{"b":1}\n`);

    expect(await tail.read()).toEqual(read(3));
    const facts = { file: FILE, epoch: 0, lineType: null, role: null, contentTypes: [], text: '' };
    expect((await bed.lines()).map(({ data }) => data)).toEqual([
      { ...facts, offset: 0, bytes: 8_388_609, form: 'json', textTruncated: false },
      { ...facts, offset: 8_388_609, bytes: 9_000_009, form: 'oversized', textTruncated: true },
      { ...facts, offset: 17_388_618, bytes: 8, form: 'json', textTruncated: false, line: '{"b":1}' },
    ]);
    expect(tail.counters.oversized).toBe(1);
    await until(() => heard.length === 2);
    expect(JSON.parse(heard[1] ?? '')).toMatchObject({ raw: { b: 1 } });
  });

  test('searches an endless line only where it grew', async () => {
    await tail.begin('start');
    await write('x'.repeat(40_000_000));
    await tail.read();

    const before = await bytesRead();
    for (let times = 0; times < 4; times += 1) {
      await append('x'.repeat(100_000));
      await tail.read();
    }
    expect((await bytesRead()) - before).toBeLessThan(10_000_000);
    await append('\nb\n');
    expect(await tail.read()).toEqual(read(2));
    expect((await bed.lines()).map(({ data }) => [data.form, data.bytes])).toEqual([
      ['oversized', 40_400_001],
      ['raw', 2],
    ]);
  });

  test('finds the end of an endless line that was overwritten where it had been searched', async () => {
    await tail.begin('start');
    await write('x'.repeat(1_000_000));
    await tail.read();
    await write(`${'x'.repeat(900_000)}\n${'y'.repeat(300_000)}`);

    expect(await tail.read()).toEqual(read(1));
    expect((await bed.lines()).map(({ data }) => data.bytes)).toEqual([900_001]);
  });

  test('reads once more after a call that is under way', async () => {
    await tail.begin('end');
    await write('a\n');
    const first = tail.read();
    const second = tail.read();
    await append('b\n');
    const [one, other] = await Promise.all([first, second]);

    expect([one, other].map((reading) => reading.state === 'read' && reading.lines).reduce(add)).toBe(2);
    expect(await bed.texts()).toEqual(['a', 'b']);
  });

  test('stops between two batches when it is told to, and goes on there', async () => {
    await tail.begin('start');
    await write(Array.from({ length: 1_000 }, (_, at) => `${at}\n`).join(''));
    const stop = new AbortController();
    tail.store.afterPublish = async () => stop.abort();

    expect(await tail.read(stop.signal)).toEqual(read(64));
    expect(await tail.read(stop.signal)).toEqual(read(0));
    expect(await tail.read()).toEqual(read(936));
    expect(await bed.texts()).toEqual(Array.from({ length: 1_000 }, (_, at) => `${at}`));
  });

  test('publishes nothing twice that Redis took without an answer', async () => {
    const lines = Array.from({ length: 100 }, (_, at) => `${at}`);
    await tail.begin('start');
    await write(`${lines.join('\n')}\n`);
    tail.store.afterPublish = () => Promise.reject(new Error('Command timed out'));
    await expect(tail.read()).rejects.toThrow('Command timed out');
    tail.store.afterPublish = async () => {};

    expect(await tail.read()).toEqual(read(36));
    expect(await bed.texts()).toEqual(lines);
  });

  test('holds nothing of a file that it has read', async () => {
    const files = Array.from({ length: 24 }, (_, at) => FILE.replace('.', `${at}.`));
    const collect = collector();
    const before = collect();
    const tails = await Promise.all(files.map((file) => bed.openTail({ file })));
    for (const [at, file] of files.entries()) {
      await writeFile(join(bed.root, file), `${'x'.repeat(99_999)}\n`.repeat(3));
      await tails[at]?.begin('start');
      expect(await tails[at]?.read()).toEqual(read(3));
    }

    await until(() => collect() - before < 2_000_000);
    expect(tails.map(({ counters }) => counters.lines).reduce(add)).toBe(72);
  });

  test('says that somebody else moved on', async () => {
    const other = await bed.openTail();
    await tail.begin('end');
    await other.begin('end');
    await write('a\n');

    expect(await other.read()).toEqual(read(1));
    expect(await tail.read()).toEqual(read(0, true));
    expect(await tail.read()).toEqual(read(0));
  });

  test('publishes each line once, in order, however many read the file', async () => {
    const readers = [tail, await bed.openTail(), await bed.openTail()];
    for (const reader of readers) await reader.begin('start');
    const lines = Array.from({ length: 2_000 }, (_, at) => `{"n":${at},"text":"${'x'.repeat(at % 700)}"}`);
    let isWritten = false;
    const reading = readers.map(async (reader) => {
      while (!isWritten) await reader.read();
      await reader.read();
    });
    for (let at = 0; at < lines.length; at += 20) await append(`${lines.slice(at, at + 20).join('\n')}\n`);
    isWritten = true;
    await Promise.all(reading);

    expect(await bed.texts()).toEqual(lines);
    expect(readers.map(({ counters }) => counters.lines).reduce(add)).toBe(2_000);
  });
});

describe('a file that loses its continuity', () => {
  /** The file has these lines, all published. */
  async function published(text: string): Promise<void> {
    await tail.begin('start');
    await write(text);
    await tail.read();
  }

  test('is read on where it was replaced by itself and a few more lines', async () => {
    await published('a\nb\n');
    await replace('a\nb\nc\n');

    expect(await tail.read()).toEqual(read(1));
    expect((await bed.lines()).map(({ data }) => [data.line, data.epoch])).toEqual([
      ['a', 0],
      ['b', 0],
      ['c', 0],
    ]);
  });

  test('publishes nothing twice while an older version grows back', async () => {
    await published('a\nb\nc\n');
    for (const text of ['a\nb\n', 'a\n', '', 'a\nb\nc\n', 'a\nb\nc\nd\n']) {
      await replace(text);
      await tail.read();
    }

    expect(await bed.texts()).toEqual(['a', 'b', 'c', 'd']);
    expect(tail.counters).toMatchObject({ lines: 4, known: 3 + 3, discontinuities: 3 });
  });

  test.each([
    ['written anew, longer than before', 'x\na\ny\nz\nlonger\n', ['x', 'y', 'z', 'longer']],
    ['written anew, as long as before', 'x\ny\nz\n', ['x', 'y', 'z']],
    ['cut short inside a line that then ends otherwise', 'a\nbb\n', ['bb']],
    ['without its beginning', 'b\nc\nd\n', ['d']],
    ['with a line as often as never before', 'c\nc\nc\n', ['c', 'c']],
    ['with its lines in another order', 'c\nb\na\n', []],
  ])('publishes exactly the new lines of one that was %s', async (_, text, fresh) => {
    await published('a\nb\nc\n');
    await write(text);
    await tail.read();

    expect(await bed.texts()).toEqual(['a', 'b', 'c', ...fresh]);
  });

  test('waits for a line that was cut short in the middle, and knows it when it is whole again', async () => {
    await published('first\nsecond\n');
    await truncate(bed.path, 8);
    expect(await tail.read()).toEqual(read(0, true));
    await append('cond\nthird\n');
    await tail.read();

    expect(await bed.texts()).toEqual(['first', 'second', 'third']);
  });

  test('is read as before when it was away', async () => {
    await published('a\nb\n');
    await rm(bed.path);
    expect(await tail.read()).toEqual({ state: 'absent' });
    await write('a\nb\nc\n');
    expect(await tail.read()).toEqual(read(1));
    await rm(bed.path);
    await write('c\nd\n');
    await tail.read();

    expect(await bed.texts()).toEqual(['a', 'b', 'c', 'd']);
  });

  test('is taken over in the middle by somebody who has to meet its lines again', async () => {
    const lines = Array.from({ length: 400 }, (_, at) => `line ${at} ${'x'.repeat(900)}\n`);
    await published(lines.join(''));
    await write(lines.slice(0, 200).join(''));
    await tail.read();

    const successor = await bed.openTail();
    await append(`between\n${lines.slice(150).join('')}`);
    await successor.begin('start');
    await successor.read();

    const texts = (await bed.texts()).map((text) => text?.split(' x')[0]);
    const names = lines.map((line) => line.split(' x')[0]);
    // The lines from 150 on stand in it twice by now: 150 to 199 were met already.
    expect(texts).toEqual([...names, 'between', ...names.slice(150, 200)]);
  });

  test('publishes nothing twice when several read it on', async () => {
    const lines = Array.from({ length: 600 }, (_, at) => `line ${at}\n`);
    await published(lines.join(''));
    const readers = [tail, await bed.openTail(), await bed.openTail()];
    for (const reader of readers) await reader.begin('start');

    for (let round = 0; round < 5; round += 1) {
      await replace(lines.slice(0, 100 * round).join(''));
      await Promise.all(readers.map((reader) => reader.read()));
      await replace(`${lines.join('')}round ${round}\n`);
      await Promise.all(readers.map((reader) => reader.read()));
    }

    expect(await bed.texts()).toEqual(
      [...lines, ...[0, 1, 2, 3, 4].map((at) => `round ${at}\n`)].map((line) => line.trim()),
    );
  });

  test('is opened anew when it turns out to be replaced by one that somebody else has read on', async () => {
    await published('a\nb\n');
    const other = await bed.openTail();
    await other.begin('start');
    tail.store.afterFind = async () => {
      tail.store.afterFind = async () => {};
      await replace('a\nb\nc\n');
      await other.read();
    };
    await append('torn');
    const place = tail.store.find.bind(tail.store);
    // The place that it hears of is already behind the end of what it has opened.
    tail.store.find = async (ref) => {
      await place(ref);
      return place(ref);
    };

    expect(await tail.read()).toEqual(read(0, true));
    expect((await bed.lines()).map(({ data }) => [data.line, data.epoch])).toEqual([
      ['a', 0],
      ['b', 0],
      ['c', 0],
    ]);
    expect([tail.counters.discontinuities, other.counters.discontinuities]).toEqual([0, 0]);
  });

  test('is opened anew when somebody else began to read what replaced it', async () => {
    await published('a\nb\n');
    const other = await bed.openTail();
    await other.begin('start');
    await append('c\n');
    tail.store.afterFind = async () => {
      tail.store.afterFind = async () => {};
      await replace('x\ny\n');
      await other.read();
    };

    expect(await tail.read()).toEqual(read(0, true));
    expect((await bed.lines()).map(({ data }) => [data.line, data.epoch])).toEqual([
      ['a', 0],
      ['b', 0],
      ['x', 1],
      ['y', 1],
    ]);
    expect([tail.counters.discontinuities, other.counters.discontinuities]).toEqual([0, 1]);
  });

  test('publishes a line that stands in it more often than before, however far apart and whenever', async () => {
    await published('a\na\nb\n');
    const between = Array.from({ length: 100 }, (_, at) => `${at}`);
    await write('a\n');
    await tail.read();
    await append(`a\n${between.join('\n')}\n`);
    await tail.read();
    await append('b\n');
    await tail.read();
    expect(await bed.texts()).toEqual(['a', 'a', 'b', ...between]);

    await write(`b\n${between.join('\n')}\nb\n`);
    await tail.read();
    expect((await bed.texts()).slice(103)).toEqual(['b']);
  });

  test('publishes nothing twice when somebody else has begun and read two epochs meanwhile', async () => {
    await published('a\nb\nc\n');
    const other = await bed.openTail();
    await other.begin('start');
    await write('a\n');
    await tail.read();
    await write('b\nc\n');
    await other.read();
    await append('a\n');
    await tail.read();

    expect(await bed.texts()).toEqual(['a', 'b', 'c']);
  });

  test('gives an oversized line once', async () => {
    const oversized = 'x'.repeat(8_400_000);
    await published(`${oversized}\na\n`);
    await write(`b\n${oversized}\n${oversized}x\n`);
    await tail.read();

    expect((await bed.lines()).map(({ data }) => data.line ?? data.bytes)).toEqual([8_400_001, 'a', 'b', 8_400_002]);
  });
});

describe('a transcript in another project folder', () => {
  const beta = FILE.replace('alpha', 'beta');
  const betaPath = () => bed.path.replace('alpha', 'beta');

  test('publishes nothing twice when the folder was renamed, nor what stood there before reading began', async () => {
    await write('old\n');
    await tail.begin('end');
    await append('a\na\n');
    await tail.read();
    const moved = await bed.openTail({ file: beta });
    await moved.begin('start');
    await rename(dirname(bed.path), dirname(betaPath()));
    await appendFile(betaPath(), 'a\nb\n');

    expect(await moved.read()).toEqual(read(2));
    expect((await bed.lines()).map(({ data }) => [data.file, data.line])).toEqual([
      [FILE, 'a'],
      [FILE, 'a'],
      [beta, 'a'],
      [beta, 'b'],
    ]);
  });

  test('is known also to one who takes it over, after it moved twice, and when it is then replaced', async () => {
    await tail.begin('start');
    await write('a\nb\n');
    await tail.read();
    await rename(dirname(bed.path), dirname(betaPath()));
    const second = await bed.openTail({ file: beta });
    await second.begin('start');
    await second.read();
    await appendFile(betaPath(), 'c\n');
    await second.read();
    await rename(dirname(betaPath()), dirname(bed.path).replace('alpha', 'gamma'));
    const gamma = FILE.replace('alpha', 'gamma');
    for (const lines of [0, 0]) {
      const other = await bed.openTail({ file: gamma });
      await other.begin('start');
      expect(await other.read()).toEqual({ ...read(lines), moved: expect.any(Boolean) });
    }
    await writeFile(bed.path.replace('alpha', 'gamma'), 'c\nd\na\n');
    const last = await bed.openTail({ file: gamma });
    await last.begin('start');
    await last.read();

    expect(await bed.texts()).toEqual(['a', 'b', 'c', 'd']);
  });

  test('has its own lines, when both are written', async () => {
    await tail.begin('start');
    await write('a\n');
    await tail.read();
    await mkdir(dirname(betaPath()));
    await writeFile(betaPath(), 'a\nb\n');
    const other = await bed.openTail({ file: beta });
    await other.begin('start');
    await other.read();
    await append('b\n');
    await tail.read();
    await appendFile(betaPath(), 'a\n');
    await other.read();

    expect(await bed.texts()).toEqual(['a', 'b', 'b', 'a']);
  });
});

describe('what stands in a file before reading begins at its end', () => {
  /** More than one read gives, and more than are noted at once. */
  const old = Array.from({ length: 3_000 }, (_, at) => `old ${at} ${'x'.repeat(at % 200)}`);
  const history = `\n${old.join('\n')}\n\n`;

  test.each([
    ['an older, shorter version that grows back', [history.slice(0, 90_000), history]],
    ['one that was cut short inside a line', [history.slice(0, 90_003), history]],
    ['nothing at all, and then by itself', ['', history]],
    ['one without its beginning', [history.slice(history.indexOf('old 700'))]],
    ['its lines in another order', [`${old.toReversed().join('\n')}\n`]],
  ])('is not published when the file is replaced by %s', async (_, versions) => {
    await write(history);
    await tail.begin('end');
    await append('a\n');
    expect(await tail.read()).toEqual(read(1));
    for (const version of versions) {
      await replace(version);
      await tail.read();
    }
    await append('a\nb\n');
    await tail.read();

    expect(await bed.texts()).toEqual(['a', 'b']);
    expect(tail.counters).toMatchObject({ lines: 2, discontinuities: 1 });
  });

  test('is known as often as it stands there, also an oversized line', async () => {
    const oversized = 'x'.repeat(8_400_000);
    await write(`same\n${oversized}\nsame\n`);
    await tail.begin('end');
    await tail.read();
    await replace(`new\nsame\nsame\nsame\n${oversized}\n${oversized}x\n`);
    await tail.read();

    expect((await bed.lines()).map(({ data }) => data.line ?? data.bytes)).toEqual(['new', 'same', 8_400_002]);
  });

  test('is noted before anything is published, and goes on where somebody else stopped', async () => {
    await write(history);
    await tail.begin('end');
    await append('a\n');
    const stop = new AbortController();
    tail.store.afterNote = async () => stop.abort();
    expect(await tail.read(stop.signal)).toEqual(read(0));
    expect((await bed.known()).length).toBe(1_000);

    const successor = await bed.openTail();
    await successor.begin('end');
    expect(await successor.read()).toEqual(read(1));
    expect(await bed.known()).toEqual(Array.from({ length: 3_001 }, () => 1));
  });

  test('is noted once, however many begin', async () => {
    await write(history);
    const tails = [tail, await bed.openTail(), await bed.openTail()];
    await Promise.all(tails.map((each) => each.begin('end')));
    await append('a\n');
    await Promise.all(tails.map((each) => each.read()));

    expect(await bed.known()).toEqual(Array.from({ length: 3_001 }, () => 1));
    expect(await bed.texts()).toEqual(['a']);
  });

  test('is noted once when somebody else overtakes', async () => {
    await write(history);
    await tail.begin('end');
    const other = await bed.openTail();
    await other.begin('end');
    tail.store.afterNote = async () => {
      tail.store.afterNote = async () => {};
      await other.read();
    };
    await tail.read();

    expect(await bed.known()).toEqual(Array.from({ length: 3_000 }, () => 1));
  });

  test('is noted once where Redis took it without an answer', async () => {
    await write(history);
    await tail.begin('end');
    tail.store.afterNote = () => Promise.reject(new Error('Command timed out'));
    await expect(tail.read()).rejects.toThrow('Command timed out');
    tail.store.afterNote = async () => {};

    expect(await tail.read()).toEqual(read(0));
    expect(await bed.known()).toEqual(Array.from({ length: 3_000 }, () => 1));
  });

  test('is not taken from what the file was written anew with meanwhile', async () => {
    await write(history);
    await tail.begin('end');
    const fresh = Array.from({ length: 4_000 }, (_, at) => `new ${at} ${'x'.repeat(150)}`);
    tail.store.afterNote = async () => {
      tail.store.afterNote = async () => {};
      await write(`${fresh.join('\n')}\n`);
    };

    // The rest of what had been read is noted; nothing of what stands there now.
    expect(await tail.read()).toEqual(read(4_000));
    expect(await bed.texts()).toEqual(fresh);
  });

  test('is noted from the handle that is open, when the file is replaced meanwhile', async () => {
    await write(history);
    await tail.begin('end');
    tail.store.afterNote = async () => {
      tail.store.afterNote = async () => {};
      await replace(history.slice(0, 90_000));
    };
    await tail.read();
    await tail.read();
    await replace(`${history}a\n`);
    await tail.read();

    expect(await bed.texts()).toEqual(['a']);
  });
});

describe('Redis', () => {
  afterEach(() => server.start());

  async function publishes(reader: Tail, lines: number): Promise<void> {
    let sum = 0;
    await until(async () => {
      const reading = await reader.read();
      sum += reading.state === 'read' ? reading.lines : 0;
      return sum === lines;
    });
  }

  test('may be away: the read rejects, and a later one goes on', async () => {
    await tail.begin('start');
    await write('a\n');
    await tail.read();
    await append('b\nc\n');
    await server.kill();

    await expect(tail.read()).rejects.toThrow();
    await server.start();
    await publishes(tail, 2);
    expect(await bed.texts()).toEqual(['a', 'b', 'c']);
  });

  test('may come back empty: reading goes on where it stood', async () => {
    await tail.begin('end');
    await write('a\n');
    await tail.read();
    await bed.redis.flushall();
    await append('b\n');

    expect(await tail.read()).toEqual(read(1));
    expect((await bed.lines()).map(({ data }) => [data.line, data.offset])).toEqual([['b', 2]]);
  });

  test('may come back empty: what was published is known again by what stands in the file', async () => {
    await tail.begin('start');
    await write('a\nb\n');
    await tail.read();
    await bed.redis.flushall();
    await tail.read();
    await replace('b\na\nc\n');

    expect(await tail.read()).toEqual(read(1));
    expect(await bed.texts()).toEqual(['c']);
  });

  test('may come back empty when the file was written anew: its lines are not taken for those that were published', async () => {
    await tail.begin('start');
    await write('a\nb\n');
    await tail.read();
    await bed.redis.flushall();
    await write('x\ny\n');

    expect(await tail.read()).toEqual(read(2));
    expect(await bed.texts()).toEqual(['x', 'y']);
  });

  test('may come back empty between two batches: what it had taken is not published again', async () => {
    const lines = Array.from({ length: 200 }, (_, at) => `${at}`);
    await tail.begin('start');
    await write('a\n');
    await tail.read();
    await write(`${lines.join('\n')}\n`);
    tail.store.afterPublish = async () => {
      tail.store.afterPublish = async () => {};
      await bed.redis.flushall();
    };

    expect(await tail.read()).toEqual(read(200));
    expect(await bed.texts()).toEqual(lines.slice(64));
    expect(await bed.redis.hmget(await bed.placeKey(), 'epoch', 'known')).toEqual(['1', '0']);
  });

  test('may have forgotten the last second: what it still knows as published is not published again', async () => {
    await tail.begin('start');
    await write('a\nb\nc\n');
    await tail.read();
    await write('a\n');
    await tail.read();
    const place = await bed.redis.hgetall(await bed.placeKey());
    await append('b\nc\n');
    await tail.read();
    await bed.redis.hset(await bed.placeKey(), place);

    expect(await tail.read()).toEqual(read(0));
    expect(await bed.texts()).toEqual(['a', 'b', 'c']);
  });

  test('may hold no place where one should be: the read rejects with the key, and publishes nothing', async () => {
    await tail.begin('start');
    const key = await bed.placeKey();
    await bed.redis.hset(key, 'offset', 'garbage');
    await write('a\n');

    await expect(tail.read()).rejects.toThrow(`expected epoch, offset, tail, known and noted in ${key}, got {`);
    await bed.redis.set(key, 'garbage');
    await expect(tail.read()).rejects.toThrow('WRONGTYPE');
    expect(await bed.lines()).toEqual([]);
  });
});

const add = (one: number | false, other: number | false) => Number(one) + Number(other);

/** Gives the bytes that buffers hold, all garbage being collected. */
function collector(): () => number {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  return () => {
    collect();
    return process.memoryUsage().arrayBuffers;
  };
}

/** By this process so far, from files and sockets. */
async function bytesRead(): Promise<number> {
  return Number(/rchar: (\d+)/.exec(await readFile('/proc/self/io', 'utf8'))?.[1]);
}
