import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@loom/shared/log.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { TurnTimer } from '../../src/adapters/turn-timer.ts';

let server: RedisServer;
let timer: TurnTimer;

const log = createLog({ service: 'test', level: 'error' });
log.silent = true;
const open = () => new TurnTimer({ url: server.url, prefix: 't:bull', log });

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  await server.client().flushall();
  timer = open();
});
afterEach(() => timer.close());

const SOON = { afterMs: 20, moves: true };
const SOME_TIME = { afterMs: 200, moves: true };
const NEVER = { afterMs: 3_600_000, moves: true };

/** The turns that were judged so far. */
function judging(judge: (turn: string, times: number) => Promise<void> = async () => {}): string[] {
  const judged: string[] = [];
  timer.start(async (turn) => {
    judged.push(turn);
    await judge(turn, judged.filter((each) => each === turn).length);
  });
  return judged;
}

describe('an alarm', () => {
  test('wakes a turn once, wherever it was set', async () => {
    const other = open();
    await other.set('k1', SOON);
    await other.close();
    const judged = judging();

    await until(() => judged.length > 0);
    await timer.set('k2', SOME_TIME);
    await until(() => judged.length > 1);

    expect(judged).toEqual(['k1', 'k2']);
  });

  test('is moved by one that moves, sooner and later, and by no other', async () => {
    await timer.set('sooner', NEVER);
    await timer.set('sooner', SOON);
    await timer.set('later', SOON);
    await timer.set('later', NEVER);
    await timer.set('kept', SOON);
    await timer.set('kept', { ...NEVER, moves: false });
    await timer.set('last', SOME_TIME);
    const judged = judging();

    await until(() => judged.includes('last'));

    expect(judged.toSorted()).toEqual(['kept', 'last', 'sooner']);
  });

  test('that is set while its turn is judged wakes it again, the last one that moves', async () => {
    const judged = judging(async (turn, times) => {
      if (turn !== 'k1' || times > 1) return;
      await timer.set('k1', NEVER);
      await timer.set('k1', SOON);
      await timer.set('k1', { ...NEVER, moves: false });
    });
    await timer.set('k1', SOON);

    await until(() => judged.length === 2);
    await timer.set('k2', SOME_TIME);
    await until(() => judged.includes('k2'));

    expect(judged).toEqual(['k1', 'k1', 'k2']);
  });

  test('comes again when judging failed', async () => {
    const judged = judging(async (_, times) => {
      if (times === 1) throw new Error('Redis is away');
    });

    await timer.set('k1', SOON);

    await until(() => judged.length === 2);
    expect(judged).toEqual(['k1', 'k1']);
  });
});
