import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { decodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { redact } from '@loom/shared/redaction.ts';
import { until } from '@loom/shared/testing/until.ts';
import { type Replica, World } from './world.ts';

const world = await World.open({ aof: true });
const S1 = '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b';
const S2 = '4e1d2b3a-6a51-4a0e-9a0b-0c1d2e3f4a5b';
const MAIN = `-home-alpha/${S1}.jsonl`;
/** For tests that are not about being told by the system: looks come often. */
const POLLING = { LOOM_WATCH_POLL_MS: '50' };

afterEach(() => world.clear());
afterAll(() => world.close());

const holds = (replica: Replica, count = 1) => until(() => replica.watcher.counters.held === count);
const begun = (session = S1) => until(() => world.redis.hexists(`t:watched:${session}`, 'begun'));
const takes = (replica: Replica) => replica.lines.filter((line) => line === 'info: lease taken').length;

describe('the watcher', () => {
  test("publishes a session's new lines in the trace of its newest request, and none from before the first", async () => {
    await world.append(MAIN, 'before');
    await world.start();
    const first = await world.request(S1);
    await begun();
    await world.append(MAIN, 'one');
    await world.texts(1);
    const second = await world.request(S1);
    await until(async () => (await world.redis.hget(`t:watched:${S1}`, 'traceparent')) === second);
    await world.append(MAIN, 'two');
    await world.texts(2);

    expect(await world.published()).toEqual([
      { text: 'one', file: MAIN, traceparent: first },
      { text: 'two', file: MAIN, traceparent: second },
    ]);
  });

  test('publishes the whole of a conversation that its first request began, whatever its file says first', async () => {
    const line = (text: string, timestamp?: string) =>
      `${JSON.stringify({ type: 'user', message: { role: 'user', content: text }, timestamp })}\n`;
    const lines = (beganAt: number) => line('mode') + line('prompt', new Date(beganAt).toISOString());
    await mkdir(join(world.folder, 'projects/p'), { recursive: true });
    await writeFile(join(world.folder, `projects/p/${S1}.jsonl`), lines(Date.now() - 2_000));
    await writeFile(
      join(world.folder, `projects/p/${S2}.jsonl`),
      lines(Date.now() - 60_000) + line('late', new Date().toISOString()),
    );
    await world.start();

    await world.request(S1);
    await world.request(S2);
    await begun(S2);
    await world.append(`p/${S2}.jsonl`, 'resumed');

    expect((await world.texts(3)).sort()).toEqual(['mode', 'prompt', 'resumed']);
  });

  test('publishes the whole of a conversation that began while nobody watched, however long ago its first request is', async () => {
    const beganAt = Date.now() - 3_600_000;
    const prompt = { type: 'user', timestamp: new Date(beganAt).toISOString(), message: { content: 'prompt' } };
    await mkdir(join(world.folder, 'projects/p'), { recursive: true });
    await writeFile(join(world.folder, `projects/p/${S1}.jsonl`), `${JSON.stringify(prompt)}\n`);
    await (await world.start()).stop();
    await world.request(S1, undefined, beganAt + 1_000);
    await world.request(S1, undefined, beganAt + 1_800_000);
    await world.append(`p/${S1}.jsonl`, 'answer');

    await world.start();

    expect(await world.texts(2)).toEqual(['prompt', 'answer']);
  });

  test('publishes the lines from before the first request too, if told to start at the start', async () => {
    await world.append(MAIN, 'before');
    await world.start({ LOOM_WATCH_FROM: 'start' });
    await world.request(S1);
    await world.append(MAIN, 'one');

    expect(await world.texts(2)).toEqual(['before', 'one']);
  });

  test('awaits a file whose project does not exist yet, named by a hint or by nothing', async () => {
    await world.start();
    await world.request(S1, `/home/alpha/.claude/projects/-home-alpha/${S1}.jsonl`);
    await world.request(S2);
    await begun(S1);
    await begun(S2);

    await world.append(MAIN, 'one');
    await world.append(`-home-beta/${S2}.jsonl`, 'two');

    expect((await world.texts(2)).sort()).toEqual(['one', 'two']);
  });

  test('follows subagents where each client version puts them, and the same session in a second project', async () => {
    const agent = (id: string) => ({ file: `p/${S1}/subagents/agent-${id}.jsonl`, agentId: id });
    await world.start(POLLING);
    const traceparent = await world.request(S1);
    await begun();
    await world.append(`p/${S1}.jsonl`, 'main');
    await world.append(agent('a1').file, 'first subagent');
    await world.texts(2);
    await world.append(agent('b2').file, 'second subagent');
    await world.append(agent('a1').file, 'first subagent again');
    await world.append(`p/${S1}/agent-c3.jsonl`, 'third subagent');
    await world.append(`q/${S1}.jsonl`, 'elsewhere');
    await mkdir(join(world.folder, 'projects/p'), { recursive: true });
    await writeFile(join(world.folder, 'projects/p/agent-d4.jsonl'), `{"sessionId":"${S1}"}\n`);
    await writeFile(join(world.folder, 'projects/p/agent-e5.jsonl'), `{"sessionId":"${S2}"}\n`);
    await world.texts(7);

    const published = await world.published();
    expect(published.toSorted((a, b) => (a.file < b.file ? -1 : 1))).toEqual([
      { file: `p/${S1}.jsonl`, text: 'main', traceparent },
      { file: `p/${S1}/agent-c3.jsonl`, agentId: 'c3', text: 'third subagent', traceparent },
      { ...agent('a1'), text: 'first subagent', traceparent },
      { ...agent('a1'), text: 'first subagent again', traceparent },
      { ...agent('b2'), text: 'second subagent', traceparent },
      { file: 'p/agent-d4.jsonl', agentId: 'd4', text: '', traceparent },
      { file: `q/${S1}.jsonl`, text: 'elsewhere', traceparent },
    ]);
  });

  test('lets an idle session go, and goes on where it stood at the next request', async () => {
    const replica = await world.start({ LOOM_WATCH_IDLE_MS: '300', ...POLLING });
    await world.request(S1);
    await begun();
    await world.append(MAIN, 'one');
    await world.texts(1);
    await until(() => replica.lines.includes('info: lease ended'));
    await holds(replica, 0);
    await world.append(MAIN, 'two');
    await world.append(`-home-alpha/${S1}/subagents/agent-a1.jsonl`, 'a subagent of the meantime');

    await world.request(S1);

    expect((await world.texts(3)).sort()).toEqual(['a subagent of the meantime', 'one', 'two']);
    expect(takes(replica)).toBe(2);
  });

  test('does not take a session again that was asked for twice and let go', async () => {
    // Long enough for the second request to come meanwhile.
    const replica = await world.start({ LOOM_WATCH_IDLE_MS: '2000', ...POLLING });
    await world.request(S1);
    await holds(replica);
    // The second request asks while the first one's lease is held: BullMQ gives it once more afterwards.
    await world.redis.hdel(`t:watched:${S1}`, 'seenAt');
    await world.request(S1);
    await until(() => world.redis.exists(`t:bull:watch:dn:${S1}`));
    await until(() => replica.lines.includes('info: lease ended'));
    await until(async () => (await world.redis.exists(`t:bull:watch:de:${S1}`)) === 0);

    expect(takes(replica)).toBe(1);
    expect(replica.watcher.counters.held).toBe(0);
  });

  test('holds a session on which nothing is written for the idle time from its newest request on', async () => {
    const replica = await world.start({ LOOM_WATCH_IDLE_MS: '2000', ...POLLING });
    await world.request(S1);
    await holds(replica);
    // As if the newest request was told of somewhat later.
    const seenAt = Date.now() + 500;
    await world.redis.hset(`t:watched:${S1}`, 'seenAt', seenAt);
    await until(() => replica.lines.includes('info: lease ended'));

    expect(Date.now()).toBeGreaterThanOrEqual(seenAt + 2_000);
  });

  test('writes no count to its log that the log withholds', async () => {
    const { watcher } = await world.start();

    expect(redact({ counters: watcher.counters })).toEqual({ counters: watcher.counters });
  });

  test('loses nothing over a restart of everything', async () => {
    const replica = await world.start(POLLING);
    await world.request(S1);
    await begun();
    await world.append(MAIN, 'one');
    await world.texts(1);
    await replica.stop();
    await world.server.kill();
    await world.append(MAIN, 'two');
    await world.server.start();

    await world.start(POLLING);

    expect(await world.texts(2)).toEqual(['one', 'two']);
  });

  test('says that there are more sessions than it has room for', async () => {
    const replica = await world.start({ LOOM_WATCH_SESSIONS: '1', ...POLLING });
    await world.request(S1);
    await holds(replica);
    expect(replica.lines).not.toContain('warn: sessions wait that no replica has room for');

    await world.request(S2);

    await until(() => replica.lines.includes('warn: sessions wait that no replica has room for'));
  });

  test('hands over to a replica that joins what is too many, the idle first, and publishes each line once meanwhile', async () => {
    const [busy, idle] = [S1, S2];
    const first = await world.start();
    const written: string[] = [];
    const write = async () => {
      written.push(`line ${written.length}`);
      await world.append(`p/${busy}.jsonl`, written.at(-1) as string);
    };
    for (const session of [busy, idle]) await world.request(session);
    for (const session of [busy, idle]) await begun(session);
    await write();
    await world.texts(1);

    const second = await world.start();
    await until(async () => {
      await write();
      return first.watcher.counters.held === 1 && second.watcher.counters.held === 1;
    });
    await world.append(`p/${idle}.jsonl`, 'moved');

    const texts = await world.texts(written.length + 1);
    expect(texts.filter((text) => text !== 'moved')).toEqual(written);
    expect(texts).toContain('moved');
    expect(second.taken).toEqual(new Set([idle]));
  });

  test('looks at the files by itself, if told to poll', async () => {
    await world.start(POLLING);
    await world.request(S1);
    await begun();
    await world.append(MAIN, 'one');
    await world.texts(1);
    await world.append(MAIN, 'two');

    expect(await world.texts(2)).toEqual(['one', 'two']);
  });

  test.each(['', '../../etc/passwd', 'a:b'])('does nothing about a request of the session %j', async (session) => {
    await world.start();
    await world.request(session);
    await until(async () => (await world.redis.xpending('t:requests', 'transcript-watcher'))[0] === 0);

    expect(await world.redis.keys('t:watched:*')).toEqual([]);
    expect(await world.redis.keys('t:bull:watch:de:*')).toEqual([]);
  });
});

describe('what is refused', () => {
  test('is a lease of a session that may not stand in a path, whoever asked for it', async () => {
    const replica = await world.start({ LOOM_WATCH_FROM: 'start', ...POLLING });
    await world.want('../secret');

    await until(() => replica.lines.includes('error: a watch failed, and is tried again'));
    expect(await world.redis.keys('t:watched:*')).toEqual([]);
    expect(await world.redis.keys('t:transcript:*')).toEqual([]);
  });

  test('tells of a hint that is no transcript of the session, once, and watches the true file', async () => {
    const replica = await world.start(POLLING);
    for (const hint of ['/etc/passwd', '/etc/passwd', `/home/alpha/.claude/projects/../${S1}.jsonl`]) {
      await world.request(S1, hint);
    }
    await begun();
    await world.append(MAIN, 'one');
    await world.texts(1);

    await until(() => replica.watcher.counters.refused === 2);
    const alert = { type: 'transcript.refused', subject: S1, data: { reason: 'hint' } };
    await until(async () => (await world.alerts()).length === 2);
    expect(await world.alerts()).toEqual([alert, alert]);
  });

  test('tells of a hint again when its event comes again: whoever had it before may have died', async () => {
    const { watcher } = await world.start();
    const traceparent = await world.request(S1, '/etc/passwd');
    await until(() => watcher.counters.refused === 1);
    const [, fields = []] = (await world.redis.xrange('t:requests', '-', '+'))[0] ?? [];
    const event = decodeEvent(fields) as LoomEvent<'request.received'>;

    expect(event.traceparent).toBe(traceparent);
    expect(await watcher.see(event, { deliveries: 1 })).toEqual([]);
    expect(await watcher.see(event, { deliveries: 2 })).toEqual([
      { type: 'transcript.refused', subject: S1, data: { reason: 'hint' } },
    ]);
  });

  test('tells of a file that is a link, once, without a word of what is in it, and reads it when it is one no more', async () => {
    const secret = join(world.folder, 'secret.jsonl');
    await writeFile(secret, '{"type":"user","message":{"role":"user","content":"hush"}}\n');
    await mkdir(join(world.folder, 'projects/-home-alpha'), { recursive: true });
    await symlink(secret, join(world.folder, 'projects', MAIN));
    const replica = await world.start({ LOOM_WATCH_FROM: 'start', ...POLLING });
    await world.request(S1);
    await begun();
    await until(() => replica.watcher.counters.refused === 1);

    await world.append(`p/${S1}.jsonl`, 'another file of the session');
    expect(await world.texts(1)).toEqual(['another file of the session']);
    await rm(join(world.folder, 'projects', MAIN));
    await world.append(MAIN, 'a file of its own');
    expect(await world.texts(2)).toEqual(['another file of the session', 'a file of its own']);
    expect(await world.alerts()).toEqual([{ type: 'transcript.refused', subject: S1, data: { reason: 'linked' } }]);
  });
});

describe('without Redis', () => {
  test('goes on after a restart that kept the data', async () => {
    const replica = await world.start(POLLING);
    await world.request(S1);
    await begun();
    await world.append(MAIN, 'one');
    await world.texts(1);

    await world.server.kill();
    await world.append(MAIN, 'two');
    await until(() => replica.lines.includes('warn: Redis is away'));
    await world.server.start();

    expect(await world.texts(2)).toEqual(['one', 'two']);
    await world.append(MAIN, 'three');
    expect(await world.texts(3)).toEqual(['one', 'two', 'three']);
    expect(replica.lines.filter((line) => line === 'warn: Redis is away')).toHaveLength(1);
    expect(replica.lines.filter((line) => line.startsWith('error'))).toEqual([]);
  });

  test('goes on by itself where it stood when everything in it is gone', async () => {
    const replica = await world.start(POLLING);
    await world.request(S1);
    await begun();
    await world.append(MAIN, 'one');
    await world.append(`-home-alpha/${S1}/subagents/agent-a1.jsonl`, 'one of a subagent');
    await world.texts(2);

    await world.redis.flushall();
    await until(() => replica.lines.includes('warn: lease lost'));
    await until(() => takes(replica) === 2);
    await begun();
    await world.append(MAIN, 'two');
    await world.append(`-home-alpha/${S1}/subagents/agent-a1.jsonl`, 'two of a subagent');

    expect((await world.texts(2)).sort()).toEqual(['two', 'two of a subagent']);
    expect(replica.lines.filter((line) => line.startsWith('error'))).toEqual([]);
  });
});
