import { join } from 'node:path';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { until } from '@loom/shared/testing/until.ts';
import { findServices } from './up/services.ts';
import { Settings, serviceEnvironment } from './up/settings.ts';
import { supervise } from './up/supervisor.ts';

const GRACE_MS = 10_000;
const READY_MS = 30_000;

export interface LocalStack {
  /** Where clients connect. */
  url: string;
  adminUrl: string;
  stop(): Promise<void>;
}

export interface LocalStackOptions {
  redisUrl: string;
  upstreamUrl: string;
  /** Folder for the spool. */
  state: string;
  /** Told of each line that a service writes. */
  line: (service: string, line: string) => void;
  environment?: NodeJS.ProcessEnv;
}

/** Starts every service as a process of its own on free ports, as `make up` does, and waits until the gateway is ready. */
export async function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  const { redisUrl, upstreamUrl, state, line } = options;
  const settings = Settings.parse({
    REDIS_URL: redisUrl,
    LOOM_PORT: await freePort(),
    LOOM_ADMIN_PORT: await freePort(),
  });
  const environment = { ...process.env, LOG_LEVEL: 'warn', ...options.environment, LOOM_UPSTREAM_URL: upstreamUrl };
  const services = findServices(join(import.meta.dirname, '../services')).map(({ name, folder, command }) => {
    const own = serviceEnvironment(settings, name, { environment, state, cwd: process.cwd() });
    const program = { name, folder, command: [process.execPath, ...command.slice(1)], environment: own };
    return supervise(program, { started: () => {}, ended: () => {}, line });
  });
  const stop = async () => {
    await Promise.all(services.map((service) => service.stop(GRACE_MS)));
  };
  const adminUrl = `http://127.0.0.1:${settings.LOOM_ADMIN_PORT}`;
  try {
    await until(async () => (await fetch(`${adminUrl}/readyz`)).ok, { withinMs: READY_MS });
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `http://127.0.0.1:${settings.LOOM_PORT}`, adminUrl, stop };
}
