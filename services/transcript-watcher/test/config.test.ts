import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { loadConfig } from '@loom/shared/config.ts';
import { Config, USAGE } from '../src/config.ts';

describe('Config', () => {
  test('has a default for everything', () => {
    expect(loadConfig(Config, {})).toEqual({
      REDIS_URL: 'redis://127.0.0.1:6379',
      LOOM_KEY_PREFIX: 'loom',
      LOG_LEVEL: 'info',
      CLAUDE_DATA_DIR: join(homedir(), '.claude'),
      LOOM_WATCH_FROM: 'end',
      LOOM_WATCH_IDLE_MS: 3_600_000,
      LOOM_WATCH_SESSIONS: 1_000,
    });
  });

  test.each([
    ['LOOM_WATCH_FROM', 'middle'],
    ['LOOM_WATCH_IDLE_MS', '99'],
    ['LOOM_WATCH_POLL_MS', '0'],
    ['LOOM_WATCH_SESSIONS', '0'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => loadConfig(Config, { [name]: value })).toThrow(`${name}: `);
  });

  test.each(Object.keys(Config.shape))('explains %s in --help', (name) => {
    expect(USAGE).toContain(`  ${name} `);
  });
});
