import { once } from 'node:events';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeEach, expect, test } from '@jest/globals';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { seeded } from './fixtures/random.ts';
import { FILE, openTailBed, SESSION, type TailBed } from './fixtures/tail-bed.ts';
import { startProgram, type TestProcess } from './fixtures/tail-processes.ts';

const server = await startRedis();
const started: TestProcess[] = [];
afterAll(() => server.close());

let bed: TailBed;
beforeEach(async () => {
  bed = await openTailBed(server);
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((each) => each.kill()));
  await bed.close();
});

function start(script: URL, args: readonly string[], flags?: readonly string[]): TestProcess {
  const program = startProgram(script, args, flags);
  started.push(program);
  return program;
}
const READER = new URL('./fixtures/tail-reader.ts', import.meta.url);
const WRITER = new URL('./fixtures/tail-writer.ts', import.meta.url);
const startReader = (from: 'start' | 'end', how = 'follow', flags?: readonly string[]) =>
  start(READER, [server.url, bed.prefix, bed.root, SESSION, FILE, from, how], flags);

/** As if it had been there before Loom. */
async function writeHistory(lines: number): Promise<void> {
  await writeFile(bed.path, Array.from({ length: lines }, (_, at) => `old ${at} ${'ö'.repeat(at % 3_000)}\n`).join(''));
}

/** Where reading starts, and how much of what stands before it is known. */
async function noting(): Promise<{ offset: number; noted: number }> {
  const [offset, noted] = await bed.redis.hmget(await bed.placeKey(), 'offset', 'noted');
  return { offset: Number(offset ?? Number.NaN), noted: Number(noted) };
}
const isNoted = () => until(async () => noting().then(({ offset, noted }) => offset === noted));

async function follow(
  seed: number,
  steps: number,
): Promise<{ killed: number; epochs: number; expected: (string | number)[] }> {
  const random = seeded(seed);
  const stream = `${bed.prefix}:transcripts`;
  await writeHistory(100);
  const readers = [startReader('end'), startReader('end'), startReader('end')];
  // What is done to it before would show lines that nobody knows.
  await isNoted();
  const writer = start(WRITER, [server.url, stream, bed.path, String(seed), String(steps)]);
  const exited = once(writer.child, 'exit');
  const isOver = () => writer.child.exitCode !== null;
  let killed = 0;
  while (!isOver()) {
    const next = (await bed.redis.xlen(stream)) + 20 + random.below(60);
    await until(async () => isOver() || (await bed.redis.xlen(stream)) >= next);
    const at = random.below(readers.length);
    await readers[at]?.kill();
    readers[at] = startReader('end');
    killed += 1;
  }
  await exited;
  const epochs = Number(await bed.redis.hget(await bed.placeKey(), 'epoch'));
  return { killed, epochs, expected: JSON.parse(writer.output()) };
}

test('each line that stood in a file is published once, in order, whatever is done to the file and its readers', async () => {
  const { killed, epochs, expected } = await follow(20_261_122, 500);

  expect((await bed.lines()).map(({ data }) => data.line ?? data.bytes)).toEqual(expected);
  // Else this run would show nothing.
  expect([killed >= 8, epochs >= 60, expected.length >= 600]).toEqual([true, true, true]);
});

test('what stands there before reading begins is known once, whoever is killed while it is noted, and never published', async () => {
  await writeHistory(24_000);
  const readers = [startReader('end'), startReader('end')];
  let killed = 0;
  await until(async () => {
    const { offset, noted } = await noting();
    if (noted > (killed * offset) / 4 && noted < offset && killed < 3) {
      await readers[killed % 2]?.kill();
      readers[killed % 2] = startReader('end');
      killed += 1;
    }
    return noted === offset;
  });
  expect(killed).toBeGreaterThanOrEqual(1);

  await writeHistory(20_000);
  await until(async () => (await bed.redis.hget(await bed.placeKey(), 'epoch')) === '1');
  await writeHistory(24_000);
  await appendFile(bed.path, 'new\n');
  await until(async () => (await bed.lines()).length > 0);

  expect(await bed.texts()).toEqual(['new']);
  const known = await bed.known();
  expect([known.length, Math.max(...known)]).toEqual([24_001, 1]);
});

test('a line is logged under the newest request of its session, without its content', async () => {
  await bed.redis.hset(`${bed.prefix}:watched:${SESSION}`, 'traceparent', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`);
  await writeFile(bed.path, '');
  const reader = startReader('start');
  await until(() => bed.placeKey());
  await appendFile(bed.path, '{"type":"user","message":{"role":"user","content":"secret"}}\n');

  await until(() => reader.output().includes('\n'));
  const { timestamp, ...logged } = JSON.parse(reader.output());
  expect(typeof timestamp).toBe('string');
  expect(logged).toEqual({
    level: 'info',
    service: 'tail-reader',
    message: 'transcript line',
    trace_id: 'a'.repeat(32),
    span_id: 'b'.repeat(16),
    ...{
      session: SESSION,
      file: FILE,
      offset: 0,
      bytes: 61,
      epoch: 0,
      type: 'user',
      role: 'user',
      contentTypes: ['text'],
    },
  });
});

test.each(['start', 'end'] as const)('a file of any size is read from its %s in as much memory', async (from) => {
  // Those that the service is started with: they keep what is left lying about from looking like what is held.
  const { scripts } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  const flags = scripts.start.split(' ').filter((word: string) => word.includes('='));
  const line = `{"type":"user","message":{"role":"user","content":"${'x'.repeat(4_000)}"}}\n`;
  const most = async (lines: number) => {
    await writeFile(bed.path, '');
    for (let at = 0; at < lines; at += 1_024) await appendFile(bed.path, line.repeat(1_024));
    await bed.redis.del(await bed.placeKey());
    const reader = startReader(from, 'once', flags);
    await once(reader.child, 'exit');
    const { maxRssKb, ...reading } = JSON.parse(reader.output());
    expect(reading).toEqual({ state: 'read', lines: from === 'start' ? lines : 0, moved: from === 'start' });
    return maxRssKb / 1_024;
  };

  const ofEightMb = await most(2_048);
  const of64Mb = await most(16_384);

  expect(of64Mb - ofEightMb).toBeLessThan(16);
});
