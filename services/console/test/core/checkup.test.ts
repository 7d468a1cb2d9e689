import { describe, expect, test } from '@jest/globals';
import {
  fail,
  formatFinding,
  judgeClock,
  judgeDisk,
  judgeLag,
  judgeRedis,
  judgeServices,
  judgeTrace,
  ok,
} from '../../src/core/checkup.ts';
import { screen } from '../events.ts';

const INFO = {
  redis_version: '7.0.15',
  maxmemory_policy: 'noeviction',
  aof_enabled: '1',
  aof_last_write_status: 'ok',
  used_memory: String(50 * 2 ** 20),
  maxmemory: String(100 * 2 ** 20),
};

describe('judgeRedis', () => {
  test('finds a Redis in order', () => {
    expect(judgeRedis(INFO)).toEqual({
      version: ok('7.0.15'),
      eviction: ok('noeviction'),
      aof: ok('on'),
      memory: ok('50.0 MB of 100.0 MB used'),
    });
  });

  test.each([
    [{ redis_version: '6.2.14' }, 'version', 'note', "6.2.14, which cannot tell a group's lag"],
    [{ redis_version: '6.0.20' }, 'version', 'fail', '6.0.20'],
    [{ maxmemory_policy: 'allkeys-lru' }, 'eviction', 'fail', 'allkeys-lru'],
    [{ aof_enabled: '0' }, 'aof', 'fail', 'off'],
    [{ aof_last_write_status: 'err' }, 'aof', 'fail', 'on, and the last write was err'],
    [{ used_memory: String(80 * 2 ** 20) }, 'memory', 'fail', '80.0 MB of 100.0 MB used'],
    [{ maxmemory: '0' }, 'memory', 'ok', '50.0 MB used, as much as there is'],
  ] as const)('judges %p', (changes, name, state, said) => {
    expect(judgeRedis({ ...INFO, ...changes })[name]).toMatchObject({ state, said });
  });
});

test('judgeClock bears a second', () => {
  expect([-999, 999, 1_000, -5_000].map((aheadMs) => judgeClock(aheadMs).state)).toEqual(['ok', 'ok', 'note', 'fail']);
  expect([judgeClock(-3).said, judgeClock(3).said]).toEqual([
    'Redis is 3 ms behind this machine',
    'Redis is 3 ms ahead of this machine',
  ]);
});

test('judgeServices counts replicas, and names who is missing', () => {
  expect(judgeServices(['a', 'b'], ['a', 'b', 'b', 'c'])).toEqual(ok('a, b ×2, c'));
  expect(judgeServices(['a', 'b'], ['a']).said).toBe('b missing; there: a');
  expect(judgeServices(['a'], []).said).toBe('a missing; there: none is there');
});

test('judgeLag names the groups that are behind', () => {
  expect(
    judgeLag([
      { group: 'a on turns', oldestUnreadMs: null },
      { group: 'b', oldestUnreadMs: 10_000 },
    ]).state,
  ).toBe('ok');
  expect(judgeLag([{ group: 'a on turns', oldestUnreadMs: 12_400 }])).toMatchObject({
    state: 'fail',
    said: 'behind: a on turns 12 s',
  });
});

test('judgeDisk wants a gigabyte', () => {
  expect([judgeDisk(2 ** 30), judgeDisk(2 ** 30 - 1).state]).toEqual([ok('1.0 GB free'), 'fail']);
});

describe('judgeTrace', () => {
  test.each([
    [undefined, 'skip', 'no turn has ended yet'],
    [{ turn: 'a', origin: 'hook', gateway: ['b', 'a'] }, 'ok', 'a in hook, gateway and turn'],
    [{ turn: 'a', origin: 'hook', gateway: ['b'] }, 'fail', 'the turn says a, the gateway b'],
    [{ turn: 'a', origin: 'gateway', gateway: ['a'] }, 'note', 'a in gateway and turn, from gateway: no hook named it'],
    [{ turn: 'a', origin: 'hook', gateway: [] }, 'skip', "the gateway's events of turn a were trimmed away"],
  ])('judges %j: %s', (sight, state, said) => {
    expect(judgeTrace(sight)).toMatchObject({ state, said });
  });
});

describe('formatFinding', () => {
  test('says of what is in order no more than what was found', () => {
    expect(formatFinding({ name: 'aof', ...ok('on\u001b[2J'), why: 'w' }, screen)).toBe('<green:✓> aof: on');
  });

  test('says of what is not why it matters and how to mend it', () => {
    expect(formatFinding({ name: 'aof', ...fail('off', 'Set it'), why: 'It matters' }, screen)).toBe(
      '<red:✗> aof: off. It matters. Set it',
    );
  });
});
