import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { decodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import pLimit from 'p-limit';
import { LineStore } from '../src/adapters/line-store.ts';
import { SessionFiles } from '../src/adapters/session-files.ts';
import { WakeUps } from '../src/adapters/wake-ups.ts';
import { WatchedSessions } from '../src/adapters/watched-sessions.ts';
import { SessionWatch, type WatchGround } from '../src/session-watch.ts';
import { createTailCounters } from '../src/tail.ts';

const server = await startRedis();
const redis = server.client();
const log = createLog({ service: 'test', level: 'error' });
const warnings: string[] = [];
const MAIN = 'p/s1.jsonl';
let folder: string;
let streams: Streams;
let ground: WatchGround;
let letGo: AbortController;

beforeEach(async () => {
  await redis.flushall();
  folder = await mkdtemp(join(tmpdir(), 'loom-session-'));
  streams = new Streams({ url: server.url, prefix: 't', source: '/loom/transcript-watcher/test', log });
  await until(() => streams.connected);
  const told = createLog({ service: 'test', level: 'warn' });
  for (const transport of told.transports) transport.silent = true;
  told.on('data', ({ level, message, error }) => {
    if (level === 'warn') warnings.push(error?.message ?? message);
  });
  letGo = new AbortController();
  ground = {
    streams,
    log: told,
    watched: new WatchedSessions(streams),
    files: new SessionFiles(folder),
    store: new LineStore(streams),
    wakeUps: undefined,
    limit: pLimit(8),
    counters: { ...createTailCounters(), held: 0, refused: 0 },
    from: 'end',
    idleMs: 60_000,
  };
});
afterEach(async () => {
  letGo.abort();
  streams.close();
  warnings.length = 0;
  await rm(folder, { recursive: true });
});
afterAll(() => server.close());

async function append(file: string, text: string): Promise<void> {
  const path = join(folder, file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify({ type: 'user', message: { role: 'user', content: text } })}\n`, {
    flag: 'a',
  });
}

async function texts(): Promise<string[]> {
  const entries = await redis.xrange('t:transcripts', '-', '+');
  return entries.map(([, fields]) => (decodeEvent(fields) as LoomEvent<'transcript.line'>).data.text);
}

/** What the process does every 2 s, until something holds. */
async function sweepUntil(watch: SessionWatch, holds: () => Promise<boolean>): Promise<void> {
  await until(async () => {
    await ground.files.refresh();
    await watch.sweep();
    return holds();
  });
}

describe('SessionWatch', () => {
  test('publishes nothing from before the first request, although it is swept and woken while it first looks', async () => {
    for (const name of ['a1', 'b2', 'c3']) await append(`p/s1/subagents/agent-${name}.jsonl`, 'before');
    await append(MAIN, 'before');
    await ground.files.refresh();
    const watch = new SessionWatch('s1', ground, letGo.signal);
    const running = watch.run();

    watch.wake(MAIN);
    await sweepUntil(watch, async () => (await ground.watched.find('s1')).isBegun);
    await append(MAIN, 'after');

    await sweepUntil(watch, async () => (await texts()).length > 0);
    letGo.abort();
    await running;
    expect(await texts()).toEqual(['after']);
  });

  test('follows all files but the one whose place in Redis is damaged, says so once, and gives up when nothing else moves', async () => {
    await append(MAIN, 'before');
    await append('p/s1/subagents/agent-a1.jsonl', 'before');
    const scout = new AbortController();
    const first = new SessionWatch('s1', ground, scout.signal);
    const scouting = first.run();
    await until(async () => (await ground.watched.find('s1')).isBegun);
    scout.abort();
    await scouting;
    const places = (await redis.keys('t:transcript:s1:*')).filter((key) => /:[0-9a-f]{16}$/.test(key));
    await redis.flushall();
    const [healthy = '', damaged = ''] = places;
    await redis.set(damaged, 'damaged');

    const watch = new SessionWatch('s1', ground, letGo.signal);
    const failure = watch.run().catch((error: Error) => error.message);
    await until(async () => (await redis.type(healthy)) === 'hash');
    await append(MAIN, 'after');
    await append('p/s1/subagents/agent-a1.jsonl', 'after');

    await watch.sweep();
    await until(async () => (await texts()).length > 0);
    expect(await texts()).toEqual(['after']);
    await sweepUntil(watch, async () => ground.counters.held === 0);
    expect(await failure).toMatch(/WRONGTYPE/);
    expect(warnings).toEqual([expect.stringContaining('WRONGTYPE')]);
  });

  test('reads a file that was refused when that is mended, although the file itself looks as before', async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), 'loom-elsewhere-'));
    await append(join('..', basename(elsewhere), 's1.jsonl'), 'one');
    await symlink(elsewhere, join(folder, 'p'));
    await ground.watched.see({ session: 's1', atMs: 1, eventId: 'e1', traceparent: '', project: 'p' });
    ground.from = 'start';
    const watch = new SessionWatch('s1', ground, letGo.signal);
    const running = watch.run();
    await sweepUntil(watch, async () => ground.counters.refused === 1);
    // By then it knows what the file looks like.
    await watch.sweep();
    expect(await texts()).toEqual([]);

    await rm(join(folder, 'p'));
    await rename(elsewhere, join(folder, 'p'));

    await sweepUntil(watch, async () => (await texts()).length > 0);
    letGo.abort();
    await running;
    expect(await texts()).toEqual(['one']);
  });

  test('asks to be woken for no file that is refused, until that is mended', async () => {
    const woken: string[] = [];
    const wakeUps = new WakeUps(folder, (_, file) => woken.push(file));
    ground.wakeUps = wakeUps;
    await append('q/s1.jsonl', 'one');
    await mkdir(join(folder, 'p'));
    await symlink(join(folder, 'q/s1.jsonl'), join(folder, MAIN));
    const watch = new SessionWatch('s1', ground, letGo.signal);
    const running = watch.run();
    await sweepUntil(watch, async () => woken.includes('q/s1.jsonl'));
    expect(woken).not.toContain(MAIN);

    await rm(join(folder, MAIN));
    await append(MAIN, 'two');

    await sweepUntil(watch, async () => woken.includes(MAIN));
    letGo.abort();
    await running;
    wakeUps.close();
  });

  test('is woken for nothing any more when it was let go', async () => {
    const woken: string[] = [];
    const wakeUps = new WakeUps(folder, (owner) => woken.push(owner));
    ground.wakeUps = wakeUps;
    await append(MAIN, 'one');
    await append('p/other.jsonl', 'one');
    wakeUps.set('other', { files: ['p/other.jsonl'], folders: [] });
    const watch = new SessionWatch('s1', ground, letGo.signal);
    const running = watch.run();
    await until(() => woken.includes('s1') && woken.includes('other'));
    letGo.abort();
    await running;
    // Wishes are told to the system a little later; this one is told after the other was taken back.
    wakeUps.set('later', { files: ['p/later.jsonl'], folders: [] });
    await until(() => woken.includes('later'));
    woken.length = 0;

    await append(MAIN, 'two');
    await append('p/other.jsonl', 'two');

    await until(() => woken.includes('other'));
    wakeUps.close();
    expect(woken).not.toContain('s1');
  });
});
