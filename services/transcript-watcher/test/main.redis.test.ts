import { appendFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { until } from '@loom/shared/testing/until.ts';
import { WatcherProcess } from './watcher-process.ts';
import { World } from './world.ts';

const world = await World.open();
const S1 = '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b';
const S2 = '4e1d2b3a-6a51-4a0e-9a0b-0c1d2e3f4a5b';

const children: WatcherProcess[] = [];

afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.isRunning && child.end('SIGKILL')));
  await world.clear();
});
afterAll(() => world.close());

function launch(...parameters: ConstructorParameters<typeof WatcherProcess>): WatcherProcess {
  const child = new WatcherProcess(...parameters);
  children.push(child);
  return child;
}

/** What is written before a session's first look may be from before it was watched. */
const begun = () => until(() => world.redis.hexists(`t:watched:${S1}`, 'begun'));

describe('the service', () => {
  test('says that its folder is missing, waits for it, and hands its sessions over when it is ended', async () => {
    const child = launch(world.environment({ CLAUDE_DATA_DIR: join(world.folder, 'later') }));
    await until(() => child.hasLogged('started'));
    await world.request(S1);
    await until(() => child.held.size === 1);
    await begun();
    await world.append(`../later/projects/p/${S1}.jsonl`, 'one');

    expect(await world.texts(1)).toEqual(['one']);
    expect(await child.end('SIGTERM')).toBe(0);
    expect(child.lines.filter(({ level }) => level !== 'info')).toEqual([
      { atMs: expect.any(Number), level: 'warn', message: expect.stringContaining('CLAUDE_DATA_DIR is no folder') },
    ]);
    expect(child.hasLogged('lease handed over')).toBe(true);
    expect(await world.redis.llen('t:bull:watch:wait')).toBe(1);
  });

  test('watches a session whose first request came before it was there', async () => {
    await world.request(S1);
    await world.append(`p/${S1}.jsonl`, 'one');
    launch(world.environment({ LOOM_WATCH_FROM: 'start' }));

    expect(await world.texts(1)).toEqual(['one']);
  });

  test('makes no spans of what it keeps in Redis for itself', async () => {
    const collector = await startOtlpReceiver();
    const telemetry = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: 'transcript-watcher' };
    const child = launch(world.environment(telemetry));
    await until(() => child.hasLogged('started'));
    await world.request(S1);
    await until(() => child.held.size === 1);
    await begun();
    await world.append(`p/${S1}.jsonl`, 'one');
    await world.texts(1);
    await child.end('SIGTERM');
    await collector.close();

    expect(collector.spans.map(({ name }) => name)).toEqual(['process t:requests']);
  });

  test('ends soon although Redis is away', async () => {
    const child = launch(world.environment());
    await until(() => child.hasLogged('started'));
    await world.request(S1);
    await until(() => child.held.size === 1);
    await world.server.kill();
    await until(() => child.hasLogged('Redis is away'));

    expect(await child.end('SIGTERM')).toBe(0);
    expect(child.hasLogged('lease left to lapse')).toBe(true);
  });

  test('has the sessions watched for --scan that were busy lately, from their end on, and ends', async () => {
    const old = new Date('2026-01-01T00:00:00Z');
    const path = join(world.folder, `projects/p/${S1}.jsonl`);
    await world.append(`p/${S1}.jsonl`, 'one');
    await appendFile(path, `${JSON.stringify({ type: 'user', timestamp: new Date().toISOString() })}\n`);
    await world.append(`p/${S2}.jsonl`, 'two');
    await utimes(join(world.folder, `projects/p/${S2}.jsonl`), old, old);

    const child = launch(world.environment(), '--scan');

    expect(await child.end()).toBe(0);
    expect(child.printed).toEqual([
      `1 sessions are watched whose transcripts changed lately in ${join(world.folder, 'projects')}`,
    ]);
    const replica = await world.start();
    await until(() => replica.watcher.counters.held === 1);
    expect(await world.redis.hmget(`t:watched:${S1}`, 'traceparent', 'project')).toEqual([
      expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/),
      'p',
    ]);
    await begun();
    await world.append(`p/${S1}.jsonl`, 'later');
    expect(await world.texts(1)).toEqual(['later']);
  });

  test('says for --scan that Redis is away', async () => {
    await world.server.kill();

    const child = launch(world.environment(), '--scan');

    expect(await child.end()).toBe(1);
    expect(child.printed).toEqual(['transcript-watcher: Redis did not answer within 3000 ms']);
  });

  test('prints its settings for --help and ends', async () => {
    const child = launch(world.environment(), '--help');

    expect(await child.end()).toBe(0);
    expect(child.printed.join('\n')).toContain('LOOM_WATCH_POLL_MS');
  });
});
