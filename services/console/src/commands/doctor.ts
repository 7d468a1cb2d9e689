import { join } from 'node:path';
import { CommonConfig, loadConfig, port, urlTo } from '@loom/shared/config.ts';
import { plainJson } from '@loom/shared/plain.ts';
import { reasonOf } from '@loom/shared/redaction.ts';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import {
  checkCollector,
  checkDisk,
  checkGateway,
  checkHook,
  checkNode,
  checkPort,
  checkSettings,
} from '../adapters/check-host.ts';
import { checkClock, checkRedis, checkServices, checkTrace } from '../adapters/check-redis.ts';
import { withRedis } from '../adapters/redis.ts';
import { realPathOf, userSettingsPath } from '../adapters/settings-file.ts';
import { screenOf } from '../adapters/terminal.ts';
import { findPlace } from '../config.ts';
import { type Finding, fail, formatFinding, ok, skip, type Verdict } from '../core/checkup.ts';

const DoctorConfig = z.object({
  LOOM_HOST: z.string().default('127.0.0.1'),
  LOOM_PORT: port.min(1).default(8080),
  LOOM_ADMIN_HOST: z.string().default('127.0.0.1'),
  LOOM_ADMIN_PORT: port.min(1).default(8081),
  LOOM_SPOOL_DIR: z.string().default(join(import.meta.dirname, '../../../../.loom/spool')),
  OTEL_EXPORTER_OTLP_ENDPOINT: CommonConfig.shape.OTEL_EXPORTER_OTLP_ENDPOINT,
});

/** The longest that one check may take, milliseconds. */
const PATIENCE_MS = 2_000;

const SERVICES = join(import.meta.dirname, '../../..');

const WHY = {
  node: 'Loom runs TypeScript as it is',
  redis: 'Without it nothing is edited, and events wait in the spool',
  version: 'Loom needs the streams of 6.2',
  eviction: 'A full Redis would drop events and durable edits',
  aof: 'A restart of Redis would lose durable edits and events',
  memory: 'A full Redis takes no events',
  clock: 'Deadlines count by Redis, spans by this machine',
  services: 'Nobody else does what they do',
  lag: 'What is not read is not edited, traced or watched',
  'dead letters': 'An event that nobody could handle had no effect',
  alerts: 'An edit was left out, or something was dropped',
  trace: 'A turn in two traces cannot be read as one',
  gateway: 'Claude Code reaches the API by way of it',
  port: 'The gateway listens there',
  settings: 'Sessions come by way of Loom only if they are told to',
  hook: 'It names the profile and the trace of each prompt',
  collector: 'Spans that nobody takes are lost',
  spool: 'Events wait there while Redis is away',
};
type Name = keyof typeof WHY;

/** `loom doctor`: each check one line; exit code 1 when one fails. */
export async function runDoctor({ json }: { json?: true }): Promise<void> {
  const { env: environment } = process;
  const config = loadConfig(DoctorConfig, environment);
  const settings = realPathOf(userSettingsPath(environment));
  const stop = () => AbortSignal.timeout(PATIENCE_MS);
  const screen = screenOf(process.stdout, environment);
  const tell = (name: Name, verdict: Verdict) => {
    const finding: Finding = { name, ...verdict, why: WHY[name] };
    if (finding.state === 'fail') process.exitCode = 1;
    process.stdout.write(`${json ? plainJson(finding) : formatFinding(finding, screen)}\n`);
  };

  tell('node', checkNode());
  for (const [name, verdict] of Object.entries(await checkBus(environment))) tell(name as Name, verdict);
  const answered: Verdict & { isThere?: true } = await within(
    checkGateway(urlTo(config.LOOM_ADMIN_HOST, config.LOOM_ADMIN_PORT), stop()),
  );
  const { isThere = false, ...gateway } = answered;
  tell('gateway', gateway);
  tell('port', await within(checkPort(urlTo(config.LOOM_HOST, config.LOOM_PORT), isThere, stop())));
  tell('settings', await within(checkSettings(settings, stop())));
  tell('hook', await within(checkHook(settings, environment, stop())));
  tell('collector', await within(checkCollector(config.OTEL_EXPORTER_OTLP_ENDPOINT, stop())));
  tell('spool', await within(checkDisk(config.LOOM_SPOOL_DIR)));
}

const OF_REDIS = [
  'version',
  'eviction',
  'aof',
  'memory',
  'clock',
  'services',
  'lag',
  'dead letters',
  'alerts',
  'trace',
];

async function checkBus(environment: NodeJS.ProcessEnv): Promise<Partial<Record<Name, Verdict>>> {
  const { redisUrl: url, prefix } = await findPlace(environment);
  const ask = () => withRedis({ url, patience: 'fail-fast', tell: () => {} }, (redis) => askBus(redis, prefix));
  try {
    return await bounded(ask());
  } catch (error) {
    const skipped = OF_REDIS.map((name) => [name, skip('Redis was not asked')]);
    const [said = ''] = reasonOf(error).split('. ');
    return { redis: fail(said, 'Start it: loom up; or set REDIS_URL'), ...Object.fromEntries(skipped) };
  }
}

async function askBus(redis: Redis, prefix: string): Promise<Partial<Record<Name, Verdict>>> {
  const { findServices } = await import('../../../../deploy/up/services.ts');
  const expected = findServices(SERVICES).map(({ name }) => name);
  const { deadLetters, ...bus } = await checkServices(redis, prefix, expected);
  return {
    redis: ok('it answers'),
    ...(await checkRedis(redis)),
    clock: await checkClock(redis),
    ...bus,
    'dead letters': deadLetters,
    trace: await checkTrace(redis, prefix),
  };
}

/** A check that breaks, or takes too long, is one that fails; the others are made all the same. */
function within(check: Promise<Verdict>): Promise<Verdict> {
  return bounded(check).catch((error: unknown) => fail(reasonOf(error), 'Mend that first'));
}

async function bounded<T>(check: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE_MS / 1_000} s`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([check, late]);
  } finally {
    clearTimeout(timer);
  }
}
