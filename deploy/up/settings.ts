import { resolve } from 'node:path';
import { CommonConfig, port } from '@loom/shared/config.ts';
import { z } from 'zod';

const listenedPort = port.min(1);

/** The settings that `make up` itself reads; every other variable goes on to the services as it is. */
export const Settings = z.object({
  LOOM_HOST: z.string().default('127.0.0.1'),
  LOOM_PORT: listenedPort.default(8080),
  LOOM_ADMIN_PORT: listenedPort.default(8081),
  LOOM_ADMIN_HOST: z.string().default('127.0.0.1'),
  LOOM_REDIS_PORT: listenedPort.default(6390),
  LOOM_KEY_PREFIX: CommonConfig.shape.LOOM_KEY_PREFIX,
  /** Set: that Redis is used, and none is started. */
  REDIS_URL: CommonConfig.shape.REDIS_URL.unwrap().optional(),
});
export type Settings = z.infer<typeof Settings>;

export const HELP = `Starts Redis and every service of services/ in the foreground; Ctrl-C drains and ends them.

usage: make up        (or: node deploy/up.ts [--services <folder>] [--state <folder>] [--scale <service>=<count>])

  --services <folder>  where the services are              services
  --state <folder>     Redis data, spool, running pids     .loom
  --scale <s>=<n>      so many processes of a service      1

  LOOM_PORT            where Claude Code connects          8080
  LOOM_HOST            on this address                     127.0.0.1
  LOOM_ADMIN_PORT      health and metrics                  8081
  LOOM_ADMIN_HOST      on this address                     127.0.0.1
  LOOM_REDIS_PORT      the private Redis                   6390
  REDIS_URL            use this Redis, start none          unset
  LOOM_KEY_PREFIX      of all keys in Redis                loom

Other settings are the services' own: see services/*/README.md.
example: LOOM_PORT=9090 make up
         WATCHERS=3 make up          --scale transcript-watcher=3
`;

/** The private Redis of `make up`, or the one that the settings name. */
export function redisUrl({ REDIS_URL, LOOM_REDIS_PORT }: Settings): string {
  return REDIS_URL ?? `redis://127.0.0.1:${LOOM_REDIS_PORT}`;
}

/**
 * What a service finds in its environment: everything that `make up` was started with, and what it decided.
 *
 * A service runs in its own folder, so a relative folder (`LOOM_PROMPTS_DIR=prompts`) is made absolute here: whoever
 * typed it meant their own working directory.
 *
 * @param state folder of what outlives a run; the spool goes there
 * @param cwd what relative folders in `environment` are relative to
 */
export function serviceEnvironment(
  settings: Settings,
  service: string,
  { environment, state, cwd }: { environment: NodeJS.ProcessEnv; state: string; cwd: string },
): NodeJS.ProcessEnv {
  const folders = Object.entries(environment)
    .filter(([name, value]) => /^(LOOM_\w+|CLAUDE_DATA)_DIR$/.test(name) && value)
    .map(([name, value]) => [name, resolve(cwd, value as string)]);
  return {
    // Of types stripped and code compiled once: a service starts sooner and takes some 20 MB less.
    NODE_COMPILE_CACHE: resolve(state, 'compiled'),
    ...environment,
    LOOM_SPOOL_DIR: resolve(state, 'spool'),
    ...Object.fromEntries(folders),
    LOOM_HOST: settings.LOOM_HOST,
    LOOM_PORT: String(settings.LOOM_PORT),
    LOOM_ADMIN_PORT: String(settings.LOOM_ADMIN_PORT),
    LOOM_LOG_FORMAT: environment['LOOM_LOG_FORMAT'] || 'pretty',
    REDIS_URL: redisUrl(settings),
    OTEL_SERVICE_NAME: service,
  };
}
