import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { CommonConfig, loadConfig, port, urlTo } from '@loom/shared/config.ts';
import { connectRedis } from '@loom/shared/connection.ts';
import { z } from 'zod';

const HELP = `Asks whether a service is alive, from the machine or container that it runs on.

usage: node deploy/healthcheck.ts [pid]      pid of the service, by default 1: in a container it is all there is

  OTEL_SERVICE_NAME    the service's name: gateway, intro-injector, …
  LOOM_ADMIN_PORT      of the gateway                       8081
  LOOM_ADMIN_HOST      where that listens                   127.0.0.1
  REDIS_URL            where the others say that they live  redis://127.0.0.1:6379
  LOOM_KEY_PREFIX      of all keys in Redis                 loom

exit code: 0 alive, 1 dead, 75 nobody knows, because Redis does not answer
`;

/** EX_TEMPFAIL of sysexits(3): a restart of the service would mend nothing. */
const UNKNOWN = 75;

/** How often Redis is asked to answer, one second apart: a new connection is refused until it stands. */
const ATTEMPTS = 3;

const Settings = CommonConfig.pick({ REDIS_URL: true, LOOM_KEY_PREFIX: true }).extend({
  OTEL_SERVICE_NAME: z.string('expected the name of a service'),
  LOOM_ADMIN_PORT: port.default(8081),
  LOOM_ADMIN_HOST: z.string().default('127.0.0.1'),
});
type Settings = z.infer<typeof Settings>;

async function answers({ LOOM_ADMIN_HOST, LOOM_ADMIN_PORT }: Settings): Promise<number> {
  const url = `${urlTo(LOOM_ADMIN_HOST, LOOM_ADMIN_PORT)}/healthz`;
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(3_000) })).ok ? 0 : 1;
  } catch {
    // Refused, reset or silent: what was asked for.
    return 1;
  }
}

/** A service renews its key every 3 s, under the name that `startService` gives a replica, and the key lapses after 10 s. */
async function announces({ REDIS_URL, LOOM_KEY_PREFIX, OTEL_SERVICE_NAME: name }: Settings, pid: string) {
  const redis = connectRedis(REDIS_URL, 'fail-fast');
  // Each attempt below says the same.
  redis.on('error', () => {});
  try {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const known = await redis
        .exists(`${LOOM_KEY_PREFIX}:service:${name}:${name}-${hostname()}-${pid}`)
        .catch(() => {});
      if (known !== undefined) return known === 1 ? 0 : 1;
      await delay(1_000);
    }
    return UNKNOWN;
  } finally {
    redis.disconnect();
  }
}

const [pid = '1'] = process.argv.slice(2);
if (pid === '--help' || pid === '-h') {
  process.stdout.write(HELP);
} else {
  const settings = loadConfig(Settings, process.env);
  process.exitCode = await (settings.OTEL_SERVICE_NAME === 'gateway' ? answers(settings) : announces(settings, pid));
}
