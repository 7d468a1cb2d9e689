import { join } from 'node:path';
import { CommonConfig, loadConfig, port } from '@loom/shared/config.ts';
import { z } from 'zod';

/** The settings of the console, from the environment. */
export const Config = z.object({
  REDIS_URL: CommonConfig.shape.REDIS_URL.unwrap().optional(),
  LOOM_REDIS_PORT: port.min(1).default(6390),
  LOOM_KEY_PREFIX: CommonConfig.shape.LOOM_KEY_PREFIX,
});

/** Where Loom's keys are. */
export interface Place {
  redisUrl: string;
  prefix: string;
}

const STATE = join(import.meta.dirname, '../../../.loom');

/**
 * Finds Loom's Redis: `REDIS_URL`; else the private one of `make up`, while that runs; else the usual port.
 *
 * @param state the folder in which `make up` keeps its record
 * @throws ConfigError when a setting is wrong
 */
export async function findPlace(environment: NodeJS.ProcessEnv, state = STATE): Promise<Place> {
  const { REDIS_URL, LOOM_REDIS_PORT, LOOM_KEY_PREFIX: prefix } = loadConfig(Config, environment);
  if (REDIS_URL) return { redisUrl: REDIS_URL, prefix };
  const port = (await privateRedisRuns(state)) ? LOOM_REDIS_PORT : 6379;
  return { redisUrl: `redis://127.0.0.1:${port}`, prefix };
}

/** The record lies with `make up`; an image of the console alone, which is given a `REDIS_URL`, need not hold it. */
async function privateRedisRuns(state: string): Promise<boolean> {
  const { findRun } = await import('../../../deploy/up/run-record.ts');
  const { isRunning } = await import('../../../deploy/up/process.ts');
  const processes = findRun(state)?.processes ?? [];
  return processes.some((running) => running.name === 'redis' && isRunning(running));
}
