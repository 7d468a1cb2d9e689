import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { connectRedis } from '@loom/shared/connection.ts';
import { encodeEvent } from '@loom/shared/event.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { isRunning, type RunningProcess } from '../up/process.ts';
import { findRun } from '../up/run-record.ts';
import { completed, forwarded } from './exchange.ts';
import { Ground } from './running-stack.ts';

let ground: Ground;
beforeEach(async () => {
  ground = await Ground.open();
});
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  await ground.close();
  for (const resource of opened.splice(0)) await resource.close();
});

describe('make up', () => {
  test('runs Redis and each service, says how to connect, and shows a turn', async () => {
    const { LOOM_PORT, LOOM_REDIS_PORT } = ground.environment;
    const up = ground.up();
    await up.ready();

    expect(up.lines().filter((line) => line.startsWith('loom '))).toEqual([
      'loom    │ ready. Connect Claude Code:',
      `loom    │   ANTHROPIC_BASE_URL=http://127.0.0.1:${LOOM_PORT} CLAUDE_CODE_GATEWAY_HINT_HEADERS=1 ENABLE_TOOL_SEARCH=true claude`,
      'loom    │ or: services/console/bin/loom claude (the command that has status, doctor, tail and why, too)',
      'loom    │ and see the events themselves:',
      `loom    │   redis-cli -p ${LOOM_REDIS_PORT} XREAD BLOCK 0 STREAMS loom:responses '$'`,
      'loom    │ Each turn is one line here. Ctrl-C drains and ends everything.',
    ]);
    await until(() =>
      up.lines().includes(`worker  │ worker uses redis://127.0.0.1:${LOOM_REDIS_PORT} and logs pretty`),
    );

    const redis = connectRedis(`redis://127.0.0.1:${LOOM_REDIS_PORT}`, 'patient');
    for (const event of [forwarded('r1'), completed('r1')]) {
      await redis.xadd('loom:responses', '*', ...encodeEvent(event));
    }
    redis.disconnect();

    await until(() =>
      up
        .lines()
        .includes('loom    │ turn 3f2a91c0 alpha claude-opus-4-6 · 1 call · 10.0k in, 300 out · cache 95 % · 2.0 s'),
    );
  });

  test('drains the services before Redis on Ctrl-C, exits 0 and keeps what Redis holds', async () => {
    const url = `redis://127.0.0.1:${ground.environment['LOOM_REDIS_PORT']}`;
    const up = ground.up();
    await up.ready();
    const processes = ground.processes();
    const redis = connectRedis(url, 'patient');
    await redis.set('kept', 'yes');
    redis.disconnect();

    up.ctrlC();

    expect(await up.exited).toBe(0);
    expect(processes.map(({ name }) => name).sort()).toEqual(['gateway', 'redis', 'worker']);
    expect(processes.filter(isRunning)).toEqual([]);
    expect(findRun(ground.state)).toBeUndefined();
    const ending = up.lines().slice(up.lines().indexOf('loom    │ draining') + 1);
    expect(ending.slice(0, 2).sort()).toEqual(['gateway │ gateway drained', 'worker  │ worker drained']);
    expect(ending.at(-1)).toMatch(/^redis .* bye bye\.\.\.$/);

    const again = ground.up();
    await again.ready();
    const reader = connectRedis(url, 'patient');
    expect(await reader.get('kept')).toBe('yes');
    reader.disconnect();
  });

  test('runs as many processes of a service as it is told', async () => {
    const up = ground.up({}, undefined, '--scale', 'worker=3');
    await up.ready();
    await until(() => up.lines().filter((line) => line.includes('worker uses redis')).length === 3);

    expect(ground.processes().map(({ name }) => name)).toEqual([
      'redis',
      'gateway',
      'worker-1',
      'worker-2',
      'worker-3',
    ]);
    expect(up.lines().some((line) => line.startsWith('worker-3 │ worker uses redis'))).toBe(true);
  });

  test('says what it cannot scale, and starts nothing', async () => {
    const up = ground.up({}, undefined, '--scale', 'writer=3');

    expect(await up.exited).toBe(1);
    expect(up.lines()).toEqual(['there is no service writer to scale']);
    expect(findRun(ground.state)).toBeUndefined();
  });

  test('starts a service again that was killed', async () => {
    const up = ground.up();
    await up.ready();
    const worker = (await until(() => ground.find('worker'))) as RunningProcess;

    process.kill(worker.pid, 'SIGKILL');

    await until(() => ![undefined, worker.pid].includes(ground.find('worker')?.pid));
    expect(up.lines()).toContain('worker  │ ended by itself (SIGKILL), starts again in 1 s');
  });

  test('ends at once when Ctrl-C comes twice', async () => {
    const services = join(ground.state, 'services');
    mkdirSync(join(services, 'deaf'), { recursive: true });
    writeFileSync(join(services, 'deaf/package.json'), '{"scripts":{"start":"node main.cjs"}}');
    writeFileSync(
      join(services, 'deaf/main.cjs'),
      "process.on('SIGTERM', () => {}); process.stdout.write('deaf\\n'); setInterval(() => {}, 1000);",
    );
    const up = ground.up({}, services);
    await until(() => up.lines().includes('deaf  │ deaf'));
    const processes = ground.processes();

    up.ctrlC();
    await until(() => up.lines().includes('loom  │ draining'));
    up.ctrlC();

    expect(await up.exited).toBe(130);
    await until(() => !processes.some(isRunning));
  });

  test('ends what a killed run had left, and starts', async () => {
    const killed = ground.up();
    await killed.ready();
    const left = ground.processes();
    killed.kill();
    await killed.exited;

    const up = ground.up();
    await up.ready();

    expect(left.filter(isRunning)).toEqual([]);
    expect(up.lines()[0]).toMatch(/^loom {4}│ ended what a killed run had left: redis, gateway, worker$/);
  });

  test('does not run twice in one folder', async () => {
    const first = ground.up();
    await first.ready();
    const pid = findRun(ground.state)?.up.pid;

    const second = ground.up();

    expect(await second.exited).toBe(1);
    expect(second.lines()).toEqual([`Loom runs already (make up, pid ${pid}). End it with: make down`]);
    expect(ground.processes().map(({ name }) => name)).toEqual(['redis', 'gateway', 'worker']);
  });

  test.each([
    ['LOOM_PORT', 'another gateway or a web server'],
    ['LOOM_ADMIN_PORT', 'another gateway or a web server'],
    ['LOOM_REDIS_PORT', 'another Redis'],
  ])('says which setting to change when the port of %s is taken, and starts nothing', async (setting, holder) => {
    const port = Number(ground.environment[setting]);
    const stranger = createServer().listen(port, '127.0.0.1');
    opened.push(stranger);
    await once(stranger, 'listening');

    const up = ground.up();

    expect(await up.exited).toBe(1);
    expect(up.lines()).toEqual([
      `port ${port} is taken, perhaps by ${holder}. End it (ss -ltnp 'sport = :${port}' names it) or set ${setting} to another port.`,
    ]);
    expect(findRun(ground.state)).toBeUndefined();
  });

  test('uses the Redis of REDIS_URL, starts none, and leaves it running', async () => {
    const server = await startRedis();
    opened.push(server);
    const up = ground.up({ REDIS_URL: server.url });
    await up.ready();
    expect(ground.processes().map(({ name }) => name)).toEqual(['gateway', 'worker']);

    up.ctrlC();

    expect(await up.exited).toBe(0);
    expect(await server.client().ping()).toBe('PONG');
  });
});

describe('make up with a Redis that goes away', () => {
  test('still drains and exits 0', async () => {
    const server = await startRedis();
    opened.push(server);
    const up = ground.up({ REDIS_URL: server.url });
    await up.ready();
    await server.stop();

    up.ctrlC();

    expect(await up.exited).toBe(0);
    expect(ground.processes()).toEqual([]);
  });
});

describe('make down', () => {
  test('says when nothing runs', async () => {
    expect(await ground.down()).toBe('Loom is not running.\n');
  });

  test('drains what another terminal runs', async () => {
    const up = ground.up();
    await up.ready();

    expect(await ground.down()).toBe('Loom drained and ended: redis, gateway, worker.\n');
    expect(await up.exited).toBe(0);
    expect(up.lines()).toContain('gateway │ gateway drained');
  });

  test('ends what a killed run left', async () => {
    const up = ground.up();
    await up.ready();
    const left = ground.processes();
    up.kill();
    await up.exited;

    expect(await ground.down()).toBe('Loom had been killed; ended what was left: redis, gateway, worker.\n');
    expect(left.filter(isRunning)).toEqual([]);
    expect(findRun(ground.state)).toBeUndefined();
  });
});
