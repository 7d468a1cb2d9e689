import { join } from 'node:path';
import { connectRedis } from '@loom/shared/connection.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { until } from '@loom/shared/testing/until.ts';
import { findServices } from './up/services.ts';
import { Settings, serviceEnvironment } from './up/settings.ts';
import { supervise } from './up/supervisor.ts';

const GRACE_MS = 10_000;
const READY_MS = 60_000;

export interface LocalStack {
  /** Where clients connect. */
  url: string;
  adminUrl: string;
  stop(): Promise<void>;
}

export interface LocalStackOptions {
  redisUrl: string;
  upstreamUrl: string;
  /** Folder for the spool, and for transcripts; there is none in it. */
  state: string;
  /** Told of each line that a service writes. */
  line: (service: string, line: string) => void;
  /** Told of each start of a service, the first one and those after it ended. */
  started?: (service: string, pid: number) => void;
  environment?: NodeJS.ProcessEnv;
}

/** Starts every service as a process of its own on free ports, as `make up` does, and waits until all are there. */
export async function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  const { redisUrl, upstreamUrl, state, line, started = () => {} } = options;
  const settings = Settings.parse({
    REDIS_URL: redisUrl,
    LOOM_PORT: await freePort(),
    LOOM_ADMIN_PORT: await freePort(),
  });
  // Not the user's own transcripts.
  const own = { CLAUDE_DATA_DIR: state, LOG_LEVEL: 'warn' };
  const environment = { ...process.env, ...own, ...options.environment, LOOM_UPSTREAM_URL: upstreamUrl };
  const found = findServices(join(import.meta.dirname, '../services'));
  const services = found.map(({ name, folder, command }) => {
    const variables = serviceEnvironment(settings, name, { environment, state, cwd: process.cwd() });
    const program = { name, folder, command: [process.execPath, ...command.slice(1)], environment: variables };
    return supervise(program, { started, ended: () => {}, line });
  });
  const stop = async () => {
    await Promise.all(services.map((service) => service.stop(GRACE_MS)));
  };
  const adminUrl = `http://127.0.0.1:${settings.LOOM_ADMIN_PORT}`;
  try {
    await until(async () => (await fetch(`${adminUrl}/readyz`)).ok, { withinMs: READY_MS });
    await announced(redisUrl, settings.LOOM_KEY_PREFIX, found);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `http://127.0.0.1:${settings.LOOM_PORT}`, adminUrl, stop };
}

/** Resolves when each service has said that it is there: what is published before, it would not hear of. */
async function announced(redisUrl: string, prefix: string, services: readonly { name: string }[]): Promise<void> {
  const redis = connectRedis(redisUrl, 'patient');
  try {
    const isThere = async ({ name }: { name: string }) => (await redis.keys(`${prefix}:service:${name}:*`)).length > 0;
    await until(async () => (await Promise.all(services.map(isThere))).every(Boolean), { withinMs: READY_MS });
  } finally {
    redis.disconnect();
  }
}
