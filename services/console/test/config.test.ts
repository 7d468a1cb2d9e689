import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { RunRecord } from '../../../deploy/up/run-record.ts';
import { findPlace } from '../src/config.ts';

const state = mkdtempSync(join(tmpdir(), 'loom-console-'));
const record = new RunRecord(state);
afterAll(() => {
  record.close();
  rmSync(state, { recursive: true });
});

describe('findPlace', () => {
  test('takes the usual port while make up has no Redis of its own', async () => {
    record.add('gateway', process.pid);

    expect(await findPlace({}, state)).toEqual({ redisUrl: 'redis://127.0.0.1:6379', prefix: 'loom' });
    expect(await findPlace({}, join(state, 'none'))).toEqual({ redisUrl: 'redis://127.0.0.1:6379', prefix: 'loom' });
  });

  test('takes the Redis of make up while that runs', async () => {
    record.add('redis', process.pid);

    expect(await findPlace({}, state)).toEqual({ redisUrl: 'redis://127.0.0.1:6390', prefix: 'loom' });
    expect(await findPlace({ LOOM_REDIS_PORT: '7001', LOOM_KEY_PREFIX: '{a}' }, state)).toEqual({
      redisUrl: 'redis://127.0.0.1:7001',
      prefix: '{a}',
    });
  });

  test('does not take a Redis that a killed run has on record', async () => {
    const killed = { name: 'redis', pid: process.pid, started: 'another boot/1' };
    writeFileSync(join(state, 'up.json'), JSON.stringify({ up: killed, processes: [killed] }));

    expect((await findPlace({}, state)).redisUrl).toBe('redis://127.0.0.1:6379');
  });

  test('takes REDIS_URL above all', async () => {
    expect((await findPlace({ REDIS_URL: 'redis://pi:6379' }, state)).redisUrl).toBe('redis://pi:6379');
  });
});
