import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { EventReader } from '@loom/shared/testing/event-reader.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { answer, type Gate, type Reply } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream, type Upstream } from '@loom/shared/testing/upstream.ts';
import { alphaRequest } from '../alpha.ts';
import { ServiceProcess } from '../e2e/service-process.ts';
import { startRewriter } from '../scripted-rewriter.ts';

const GATEWAY = fileURLToPath(new URL('../..', import.meta.url));

let redis: RedisServer;
let events: EventReader;
let upstream: Upstream;
let folder: string;
let environment: Record<string, string>;
let gateway: ServiceProcess;

beforeAll(async () => {
  [redis, upstream] = await Promise.all([startRedis(), startUpstream()]);
  events = new EventReader(redis.client());
});
afterAll(() => Promise.all([redis.close(), upstream.close()]));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loom-gateway-'));
  environment = {
    REDIS_URL: redis.url,
    LOOM_PORT: String(await freePort()),
    LOOM_ADMIN_PORT: '0',
    LOOM_UPSTREAM_URL: upstream.url,
    LOOM_SPOOL_DIR: folder,
  };
  gateway = new ServiceProcess('gateway', async () => environment);
});
afterEach(async () => {
  await gateway.kill();
  await rm(folder, { recursive: true, force: true });
});

/** Streams an answer to its end and returns the upstream's id of it; rejects when it does not come whole. */
async function stream(session: string): Promise<string> {
  const request = alphaRequest(session, 'Tell me.', { stream: true });
  const url = `http://127.0.0.1:${environment['LOOM_PORT']}/v1/messages`;
  const response = await fetch(url, { method: 'POST', ...request });
  const body = await response.text();
  if (!body.includes('message_stop')) throw new Error(`expected a whole answer, got ${body.length} characters`);
  return response.headers.get('request-id') as string;
}

/** The upstream's ids of the answers whose completion is on the stream, each as often as it is there under another id. */
async function published(): Promise<(string | null)[]> {
  const once = new Map((await events.of('response.completed')).map((event) => [event.id, event]));
  return [...once.values()].map(({ data }) => data.upstreamRequestId);
}

/** The same, but that its last half waits. */
function gated(reply: Reply, gate: Gate): Reply {
  return { ...reply, chunks: reply.chunks.toSpliced(reply.chunks.length >> 1, 0, gate) };
}

const words = (count: number) => 'All is well. '.repeat(count);

describe('the process of a gateway', () => {
  test('that is killed under load has published, or publishes later, whatever a client saw complete', async () => {
    await gateway.start();
    const killed = Promise.withResolvers<void>();
    upstream.script = (request) => {
      const reply = answer({ text: words(1 + (request.ordinal % 20)), delayMs: 4 })(request);
      // However slow the machine, some are under way when it happens.
      return request.ordinal % 4 === 0 ? gated(reply, () => killed.promise) : reply;
    };
    const completed: string[] = [];
    const streams = Array.from({ length: 40 }, async (_, at) => completed.push(await stream(`load-${at}`)));
    const settled = Promise.allSettled(streams);
    await until(() => completed.length >= 10);

    await gateway.kill();
    killed.resolve();
    const failed = (await settled).filter(({ status }) => status === 'rejected').length;
    await gateway.start();

    expect(failed).toBeGreaterThan(0);
    await until(async () => {
      const there = await published();
      return completed.every((id) => there.includes(id));
    });
    const there = await published();
    expect(completed.map((id) => there.filter((other) => other === id).length)).toEqual(completed.map(() => 1));
  });

  test.each(['SIGKILL', 'SIGTERM'] as const)(
    'that gets a %s has published what a client saw complete, compressed answers included',
    async (signal) => {
      await gateway.start();
      upstream.script = answer({ text: words(200), encoding: 'gzip' });
      const id = await stream(`compressed-${signal}`);

      await (signal === 'SIGKILL' ? gateway.kill() : gateway.stop());
      if (signal === 'SIGKILL') await gateway.start();

      await until(async () => (await published()).includes(id));
    },
  );

  test('that is killed while Redis is away leaves its events to the next one', async () => {
    await gateway.start();
    upstream.script = answer();
    await redis.kill();
    const id = await stream('without-redis');
    await gateway.kill();
    await redis.start();

    await gateway.start();

    await until(async () => (await published()).includes(id));
  });

  test('drains on SIGTERM: streams come to their end, kept connections do not hold it, it exits 0', async () => {
    await gateway.start();
    const draining = Promise.withResolvers<void>();
    upstream.script = answer({ text: words(20) });
    await stream('kept-alive');
    upstream.script = (request) => gated(answer({ text: words(20) })(request), () => draining.promise);
    const before = upstream.requests.length;
    const streaming = Promise.all(['d1', 'd2', 'd3'].map(stream));
    await upstream.waitFor(before + 3);

    const stopped = gateway.stop().then(() => 'drained');
    await gateway.logs('draining', 1);
    draining.resolve();

    // A connection that held it would do so for 30 s.
    expect(await Promise.race([stopped, sleep(25_000, 'held', { ref: false })])).toBe('drained');
    const ids = await streaming;
    expect((await published()).filter((id) => ids.includes(id as string)).sort()).toEqual(ids.sort());
  });

  test('drains also when the SIGTERM comes while it starts', async () => {
    await redis.kill();
    const starting = gateway.start().catch(() => {});
    await gateway.logs('Redis is away', 1);

    await gateway.stop();

    await starting;
    await redis.start();
  });

  test('drains on SIGTERM while Redis is frozen, and leaves the events to the next one, a question included', async () => {
    await startRewriter(redis, { name: 'hung', holdMs: 50, behaviour: () => [] });
    await gateway.start();
    redis.freeze();
    const id = await stream('frozen');
    await gateway.stop();
    // What Redis has not read is lost with it.
    await redis.kill();
    await redis.start();

    await gateway.start();

    await until(async () => (await published()).includes(id));
    expect((await events.on('requests')).map(({ subject }) => subject)).toEqual(['frozen']);
  });
});

describe('a gateway that cannot start', () => {
  async function complaint(changes: Record<string, string>): Promise<{ code: number; text: string }> {
    const child = spawn(process.execPath, ['src/main.ts'], {
      cwd: GATEWAY,
      env: { ...PASSED_ON, ...environment, LOOM_PORT: '0', ...changes },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [[code], text] = await Promise.all([once(child, 'exit'), child.stderr.setEncoding('utf8').toArray()]);
    return { code, text: text.join('') };
  }

  test('names all wrong settings at once, and no secret', async () => {
    const changes = {
      LOOM_PORT: '99999',
      LOOM_UPSTREAM_URL: 'ftp://u:p@h',
      LOOM_HOOK_SECRET: 'short',
      LOG_LEVEL: 'loud',
    };

    expect(await complaint(changes)).toEqual({
      code: 1,
      text: `gateway: these settings are wrong:
  LOG_LEVEL: Invalid option: expected one of "error"|"warn"|"info"|"debug", got "loud"
  LOOM_PORT: expected a port, got "99999"
  LOOM_UPSTREAM_URL: expected http(s)://host[:port]
  LOOM_HOOK_SECRET: expected at least 16 characters
`,
    });
  });

  test('says which setting names a port that is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };

    const complaints = [
      await complaint({ LOOM_PORT: String(port) }),
      await complaint({ LOOM_ADMIN_PORT: String(port) }),
    ];

    const text = (name: string) =>
      `gateway: ${name}: expected to listen on 127.0.0.1:${port}, got another process listens there\n`;
    expect(complaints).toEqual([
      { code: 1, text: text('LOOM_PORT') },
      { code: 1, text: text('LOOM_ADMIN_PORT') },
    ]);
    taken.close();
  });
});
