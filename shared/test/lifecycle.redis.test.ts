import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { LoomEvent } from '@loom/shared/event.ts';
import { type Service, startService } from '@loom/shared/service.ts';
import { Streams } from '@loom/shared/streams.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { type Bed, openBed, quiet } from './fixtures/bed.ts';
import { spoolFull } from './fixtures/drafts.ts';
import { startTally, type TallyProcess } from './fixtures/tally-process.ts';

let server: RedisServer;
let bed: Bed;
let services: Service[];
let processes: TallyProcess[];

beforeAll(async () => {
  server = await startRedis({ aof: true });
});
afterAll(() => server.close());
beforeEach(async () => {
  bed = await openBed(server);
  services = [];
  processes = [];
});
afterEach(async () => {
  server.thaw();
  await server.start();
  await Promise.all(services.map((service) => service.stop()));
  await Promise.all(processes.map((each) => each.end('SIGKILL')));
  bed.close();
});

type Handle = (event: LoomEvent<'spool.full'>) => Promise<[]> | [];

async function start(replica: string, handle: Handle, claimIdleMs = 300): Promise<Service> {
  const streams = bed.open(replica);
  const service = await startService({
    name: 'echo',
    replica,
    streams,
    log: quiet,
    claimIdleMs,
    on: { 'spool.full': handle },
  });
  services.push(service);
  return service;
}

function spawnTally(replica: string, mode = ''): TallyProcess {
  const environment = { REDIS_URL: server.url, LOOM_KEY_PREFIX: bed.prefix, TALLY_REPLICA: replica, TALLY_MODE: mode };
  const spawned = startTally(environment);
  processes.push(spawned);
  return spawned;
}

const started = ({ lines }: TallyProcess) => until(() => lines().some(({ message }) => message === 'started'));
const tally = () => bed.redis.lrange(bed.streams.key('tally'), 0, -1);
const upTo = (count: number) => Array.from({ length: count }, (_, at) => at + 1);
const ascending = (numbers: number[]) => numbers.toSorted((a, b) => a - b);

async function publishUntil(stopped: Promise<unknown>): Promise<number> {
  let published = 0;
  let going = true;
  stopped.then(() => {
    going = false;
  });
  while (going) {
    published += 1;
    await bed.publish(spoolFull(published));
  }
  return published;
}

describe('a service that is stopped', () => {
  test('finishes what it has, acknowledges it, and leaves its group', async () => {
    const gate = Promise.withResolvers<void>();
    let begun = 0;
    const service = await start('echo-1', async () => {
      begun += 1;
      await gate.promise;
      return [];
    });
    await bed.publish(spoolFull(1));
    await until(() => begun === 1);

    const stopped = service.stop();
    gate.resolve();
    await stopped;

    expect(service.counters.handled).toBe(1);
    expect(await bed.pending('alerts', 'echo')).toBe(0);
    expect(await bed.redis.xinfo('CONSUMERS', bed.streams.key('alerts'), 'echo')).toEqual([]);
  });

  test('does not wait for the end of a blocked read', async () => {
    const service = await start('echo-1', () => []);
    await until(async () => (await bed.redis.info('clients')).includes('\nblocked_clients:1\r'));
    await bed.redis.config('RESETSTAT');

    await service.stop();

    expect(await bed.redis.info('commandstats')).toContain('cmdstat_client|unblock:');
  });

  test('leaves a handler behind that does not end, and its event in the group', async () => {
    let begun = 0;
    const service = await start('echo-1', () => {
      begun += 1;
      return new Promise(() => {});
    });
    await bed.publish(spoolFull(1));
    await until(() => begun === 1);

    await service.stop();

    expect(service.counters.handled).toBe(0);
    expect(await bed.pending('alerts', 'echo')).toBe(1);
  });

  test.each(['frozen', 'away'])('is stopped while Redis is %s', async (state) => {
    const service = await start('echo-1', () => []);
    if (state === 'frozen') server.freeze();
    else await server.kill();

    await service.stop();

    await expect(bed.redis.ping()).rejects.toThrow();
  });

  test('is replaced under load without an event lost or handled twice', async () => {
    const handled: string[] = [];
    const handle = (replica: string) => (event: LoomEvent<'spool.full'>) => {
      handled.push(`${replica} ${event.data.dropped}`);
      return [] as [];
    };
    const first = await start('echo-1', handle('echo-1'));
    const swapped = async () => {
      await until(() => handled.length > 100);
      await start('echo-2', handle('echo-2'));
      await until(() => handled.some((each) => each.startsWith('echo-2')));
      await first.stop();
    };

    const published = await publishUntil(swapped());

    await until(() => handled.length >= published);
    expect(ascending(handled.map((each) => Number(each.split(' ')[1])))).toEqual(upTo(published));
    expect(await bed.pending('alerts', 'echo')).toBe(0);
  });
});

describe('a service whose Redis fails', () => {
  test('waits for it at the start', async () => {
    await server.kill();
    const starting = start('echo-1', () => []);
    await server.start();

    const service = await starting;
    await until(() => bed.streams.connected);
    await bed.publish(spoolFull(1));

    await until(() => service.counters.handled === 1);
  });

  test('can be stopped while it waits for it', async () => {
    await server.kill();
    const tallying = spawnTally('t1');
    await until(() => tallying.output().includes('Redis is away'));

    expect(await tallying.end('SIGTERM')).toBe(0);
  });

  test('loses nothing, and does nothing twice, over its restarts', async () => {
    const handled: number[] = [];
    const service = await start('echo-1', (event) => {
      handled.push(event.data.dropped);
      return [];
    });
    const accepted: number[] = [];
    const publish = async (dropped: number) => {
      try {
        await bed.publish(spoolFull(dropped));
        accepted.push(dropped);
      } catch {
        // Refused: a publisher that has to be sure keeps it and appends it again.
      }
    };

    for (let restart = 0; restart < 3; restart += 1) {
      for (let at = 1; at <= 50; at += 1) await publish(restart * 100 + at);
      const killed = server.kill();
      for (let at = 51; at <= 60; at += 1) await publish(restart * 100 + at);
      await killed;
      await server.start();
      await until(() => bed.streams.connected);
    }

    await until(async () => accepted.every((dropped) => handled.includes(dropped)));
    await until(async () => (await bed.pending('alerts', 'echo')) === 0);
    expect(ascending(handled)).toEqual(ascending([...new Set(handled)]));
    expect(service.counters.deadLettered).toBe(0);
  });

  test('takes up what was on its way to it when its connection broke', async () => {
    const service = await start('echo-1', () => [], 30_000);
    const { fields, key } = bed.streams.seal(spoolFull(1), ROOT_CONTEXT);

    // Given to this consumer, and to nobody who knows of it.
    const given = bed.redis.multi().xadd(key, '*', ...fields);
    await given.xreadgroup('GROUP', 'echo', 'echo-1', 'COUNT', 1, 'STREAMS', key, '>').exec();
    await bed.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');

    await until(() => service.counters.handled === 1);
    expect(await bed.pending('alerts', 'echo')).toBe(0);
  });

  test('reads on after its connections went dead without a word, as when a cable is cut', async () => {
    const sockets: Socket[] = [];
    const relay = createServer((near) => {
      const far = connect(server.port, '127.0.0.1');
      for (const socket of [near, far]) sockets.push(socket.on('error', () => {}));
      near.pipe(far).pipe(near);
    }).listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const { port } = relay.address() as { port: number };
    const streams = new Streams({ url: `redis://127.0.0.1:${port}`, prefix: bed.prefix, source: '/loom', log: quiet });
    const service = await startService({ name: 'echo', streams, log: quiet, on: { 'spool.full': () => [] } });
    services.push(service);

    for (const socket of sockets) socket.unpipe().pause();
    // What Redis hands to the read that was under way then is claimed after 30 s; this is about the reads after it.
    await until(
      async () => (await bed.redis.call('CLIENT', 'LIST', 'TYPE', 'normal'))?.toString().includes('flags=b') === false,
    );
    await bed.publish(spoolFull(1));

    await until(() => service.counters.handled === 1);
    streams.close();
    for (const socket of sockets) socket.destroy();
    relay.close();
  });

  test('does not try sooner, because its connection broke, what its handler could not do', async () => {
    const given: number[] = [];
    const handle: Handle = ({ data }) => {
      given.push(data.dropped);
      if (data.dropped === 1) throw new Error('not now');
      return [];
    };
    const service = await start('echo-1', handle, 30_000);
    await bed.publish(spoolFull(1));
    await until(() => service.counters.failed === 1);

    await bed.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await bed.publish(spoolFull(2));

    await until(() => service.counters.handled === 1);
    expect(given).toEqual([1, 2]);
  });

  test('publishes what its handler returned when Redis is back, and does not call it again', async () => {
    let calls = 0;
    const gate = Promise.withResolvers<void>();
    const streams = bed.open('echo-1');
    const service = await startService({
      ...{ name: 'echo', replica: 'echo-1', streams, log: quiet, claimIdleMs: 30_000 },
      on: {
        'spool.full': async ({ subject }) => {
          calls += 1;
          await gate.promise;
          return [
            {
              type: 'rewriter.bypassed',
              subject,
              data: { requestId: 'r1', rewriter: 'w', outcome: 'late', waitedMs: 1 },
            },
          ];
        },
      },
    });
    services.push(service);
    await bed.publish(spoolFull(1));
    await until(() => calls === 1);

    await server.kill();
    gate.resolve();
    await until(() => !streams.connected);
    await server.start();

    await until(() => service.counters.handled === 1);
    await until(() => bed.streams.connected);
    expect((await bed.entries('alerts')).map(({ type }) => type)).toEqual(['spool.full', 'rewriter.bypassed']);
    expect(calls).toBe(1);
  });
});

describe('a service process', () => {
  test('drains on SIGTERM and exits with 0', async () => {
    const tallying = spawnTally('t1');
    await started(tallying);
    await bed.publish(spoolFull(1));
    await until(async () => (await tally()).length === 1);

    expect(await tallying.end('SIGTERM')).toBe(0);
    expect(tallying.lines().map(({ message }) => message)).toEqual(['started', 'tallied', 'draining', 'stopped']);
    expect(await bed.pending('alerts', 'tally')).toBe(0);
    expect(await bed.redis.keys(`${bed.prefix}:service:*`)).toEqual([]);
  });

  test('exits at once when the signal comes again', async () => {
    const tallying = spawnTally('t1', 'hang');
    await started(tallying);
    await bed.publish(spoolFull(1));
    await until(async () => (await tally()).length === 1);

    tallying.child.kill('SIGINT');
    await until(() => tallying.output().includes('draining'));

    expect(await tallying.end('SIGINT')).toBe(1);
    expect(tallying.lines().map(({ message }) => message)).toEqual(['started', 'draining']);
  });

  test('logs a bug that nobody caught, with where it was, and exits with 1', async () => {
    const tallying = spawnTally('t1', 'bug');
    await started(tallying);

    await bed.publish(spoolFull(1));

    await until(() => tallying.child.exitCode !== null);
    expect(tallying.child.exitCode).toBe(1);
    expect(tallying.lines().at(-1)).toEqual({
      timestamp: expect.any(String),
      level: 'error',
      service: 'tally',
      message: 'uncaught',
      trace_id: expect.any(String),
      span_id: expect.any(String),
      error: { name: 'SyntaxError', message: expect.any(String) },
      stack: expect.stringContaining('tally-service.ts'),
    });
  });

  test('that is killed leaves its event to its peer', async () => {
    const killed = spawnTally('t1', 'hang');
    await started(killed);
    await bed.publish(spoolFull(1));
    await until(async () => (await tally()).length === 1);

    await killed.end('SIGKILL');
    await started(spawnTally('t2'));

    await until(async () => (await tally()).length === 2);
    expect(await tally()).toEqual(['t1 1', 't2 1']);
    await until(async () => (await bed.pending('alerts', 'tally')) === 0);
  });
});
