import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { findServices } from '../up/services.ts';
import { type Supervised, supervise } from '../up/supervisor.ts';

const ROOT = join(import.meta.dirname, '../..');
const services = findServices(join(ROOT, 'services'));

let redis: RedisServer;
let client: ReturnType<RedisServer['client']>;
let environment: NodeJS.ProcessEnv;
const state = mkdtempSync(join(tmpdir(), 'loom-health-'));
const running = new Map<string, Supervised>();
const pids = new Map<string, number>();

beforeAll(async () => {
  redis = await startRedis();
  client = redis.client();
  environment = {
    ...PASSED_ON,
    REDIS_URL: redis.url,
    LOOM_PORT: String(await freePort()),
    LOOM_ADMIN_PORT: String(await freePort()),
    LOOM_SPOOL_DIR: state,
    CLAUDE_DATA_DIR: state,
  };
});
afterEach(async () => {
  for (const service of running.values()) await service.stop(60_000);
  running.clear();
});
afterAll(async () => {
  await redis.close();
  rmSync(state, { recursive: true });
});

async function start(name: string): Promise<void> {
  const service = services.find((each) => each.name === name);
  if (!service) throw new Error(`expected a service ${name}, got ${services.map((each) => each.name)}`);
  const command = [process.execPath, ...service.command.slice(1)];
  const watcher = { started: (_: string, pid: number) => pids.set(name, pid), ended: () => {}, line: () => {} };
  running.set(name, supervise({ name, folder: service.folder, command, environment }, watcher));
  // First what the check will ask for: each check is a process.
  await until(async () => (await client.keys(`loom:service:${name}:*`)).length > 0);
  await until(async () => (await health(name)) === 0);
}

/** The exit code of the health check. */
async function health(name: string, changes: NodeJS.ProcessEnv = {}): Promise<number> {
  const check = spawn(process.execPath, [join(ROOT, 'deploy/healthcheck.ts'), String(pids.get(name))], {
    env: { ...environment, OTEL_SERVICE_NAME: name, ...changes },
    stdio: 'inherit',
  });
  const [code] = await once(check, 'exit');
  return code;
}

describe('the health check', () => {
  test('tells a service that announces itself from one that is gone', async () => {
    const others = services.map(({ name }) => name).filter((name) => name !== 'gateway');
    // It resolves when the check calls the service alive.
    await Promise.all(others.map(start));

    await Promise.all(others.map((name) => running.get(name)?.stop(60_000)));

    expect(await Promise.all(others.map((name) => health(name)))).toEqual(others.map(() => 1));
  });

  test('tells a gateway that answers from one that hangs', async () => {
    await start('gateway');

    process.kill(pids.get('gateway') as number, 'SIGSTOP');
    const code = await health('gateway');
    process.kill(pids.get('gateway') as number, 'SIGCONT');

    expect(code).toBe(1);
  });

  test('does not call a service dead because Redis is away', async () => {
    pids.set('intro-injector', 1);

    expect(await health('intro-injector', { REDIS_URL: `redis://127.0.0.1:${await freePort()}` })).toBe(75);
  });
});

describe('loom-health', () => {
  test('restarts a service that runs but is dead, and no other', async () => {
    await start('intro-injector');
    pids.set('compact-rewriter', process.pid);
    const place = layOut();

    const script = spawn('sh', [join(place, 'deploy/systemd/loom-health'), '0'], {
      env: { ...environment, PATH: `${join(place, 'stand-in')}:${process.env['PATH']}` },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const said = await script.stdout.setEncoding('utf8').toArray();

    expect(said.join('')).toBe('compact-rewriter runs but is dead: restarted\n');
    expect(readFileSync(join(place, 'restarted'), 'utf8')).toBe('loom@compact-rewriter.service\n');
  });
});

/** As `make install` lays it out, and a systemctl that knows these two services and writes down what it restarts. */
function layOut(): string {
  const place = join(state, 'installed');
  for (const folder of ['bin', 'deploy/systemd', 'stand-in']) mkdirSync(join(place, folder), { recursive: true });
  symlinkSync(process.execPath, join(place, 'bin/node'));
  symlinkSync(join(ROOT, 'deploy/healthcheck.ts'), join(place, 'deploy/healthcheck.ts'));
  copyFileSync(join(ROOT, 'deploy/systemd/loom-health'), join(place, 'deploy/systemd/loom-health'));
  const units = ['intro-injector', 'compact-rewriter'];
  const lines = units.map((name) => `echo loom@${name}.service loaded active running Loom;`);
  const answers = units.map((name) => `loom@${name}.service) echo ${pids.get(name)} ;;`);
  const systemctl = `#!/bin/sh
case $1 in
  list-units) ${lines.join(' ')} ;;
  show) case $4 in ${answers.join(' ')} esac ;;
  restart) echo $2 >> ${join(place, 'restarted')} ;;
esac
`;
  writeFileSync(join(place, 'stand-in/systemctl'), systemctl, { mode: 0o755 });
  return place;
}
