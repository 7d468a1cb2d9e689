import { setTimeout as pause } from 'node:timers/promises';
import type { RedisServer } from '@loom/shared/testing/redis.ts';
import { measureFirstByte } from './first-byte.ts';
import { median } from './measure.ts';
import type { RedisStateCell } from './results.ts';
import type { LoomTarget, Target } from './targets.ts';
import { measureThroughput } from './throughput.ts';

/** By then a gateway has given up the connections on which nobody answers, or published what it kept meanwhile. */
const NOTICED_MS = 4_000;
const ROUNDS_OF_A_VISIT = 3;
const WARM_UP_MS = 500;

type State = 'healthy' | 'stopped' | 'gone';
type Figure = 'addedMs' | 'perSecond' | 'cpuMs';

export interface RedisStatesOptions {
  direct: Target;
  loom: LoomTarget;
  kilobytes: number[];
  /** How often Redis goes through all its states. */
  rounds: number;
  requestsFor: (kilobytes: number) => number;
}

/**
 * What one gateway does while its Redis is healthy, while it is stopped and answers nothing, and while it is gone, in turns:
 * two processes that run the same code differ by more than what this is to show.
 */
export async function measureRedisStates(options: RedisStatesOptions): Promise<RedisStateCell[]> {
  const { direct, loom, kilobytes, rounds, requestsFor } = options;
  const seen = new Map<string, number[]>();
  const see = (figure: Figure, size: number, state: State, value: number) => {
    const key = `${figure} ${size} ${state}`;
    seen.set(key, [...(seen.get(key) ?? []), value]);
  };
  await visit('healthy', { ...options, see: () => {} });
  for (let round = 0; round < rounds; round++)
    for (const state of round % 2 === 0 ? STATES : STATES.toReversed()) {
      await enter(loom.redis, state);
      await visit(state, { direct, loom, kilobytes, requestsFor, see });
      await leave(loom.redis, state);
    }
  const middle = (figure: Figure, size: number) =>
    Object.fromEntries(STATES.map((state) => [state, median(seen.get(`${figure} ${size} ${state}`) ?? [])]));
  return kilobytes.map((size) => ({
    kilobytes: size,
    addedMs: middle('addedMs', size),
    perSecond: middle('perSecond', size),
    cpuMs: middle('cpuMs', size),
  }));
}

const STATES: State[] = ['healthy', 'stopped', 'gone'];

async function enter(redis: RedisServer, state: State): Promise<void> {
  if (state === 'stopped') redis.freeze();
  if (state === 'gone') await redis.kill();
  if (state !== 'healthy') await pause(NOTICED_MS);
}

async function leave(redis: RedisServer, state: State): Promise<void> {
  if (state === 'stopped') redis.thaw();
  if (state === 'gone') await redis.start();
  if (state !== 'healthy') await pause(NOTICED_MS);
}

type Visit = Omit<RedisStatesOptions, 'rounds'> & {
  see: (figure: Figure, size: number, state: State, value: number) => void;
};

async function visit(state: State, { direct, loom, kilobytes, requestsFor, see }: Visit): Promise<void> {
  for (const size of kilobytes) {
    const sizes = { kilobytes: size, answer: 'json', rounds: ROUNDS_OF_A_VISIT };
    const requestsPerRound = requestsFor(size);
    const firstByte = await measureFirstByte({
      ...{ ...sizes, targets: [direct, loom], newest: 'tool-result', requestsPerRound, warmUpRounds: 1 },
    });
    const { perSecond, cpuMs } = await measureThroughput({
      ...{ ...sizes, targets: [loom], requestsPerRound: 4 * requestsPerRound, warmUpMs: WARM_UP_MS },
    });
    see('addedMs', size, state, firstByte.added[loom.name] as number);
    see('perSecond', size, state, perSecond[loom.name] as number);
    see('cpuMs', size, state, cpuMs[loom.name] as number);
  }
}
