import { describe, expect, test } from '@jest/globals';
import { loadConfig } from '@loom/shared/config.ts';
import { Config, USAGE } from '../src/config.ts';

describe('Config', () => {
  test('has a default for everything', () => {
    expect(loadConfig(Config, {})).toEqual({
      REDIS_URL: 'redis://127.0.0.1:6379',
      LOOM_KEY_PREFIX: 'loom',
      LOG_LEVEL: 'info',
      LOOM_TURN_GRACE_MS: 2_000,
      LOOM_TURN_RETRY_MS: 60_000,
      LOOM_TURN_IDLE_MS: 600_000,
      LOOM_TURN_TOOL_IDLE_MS: 3_600_000,
      LOOM_CAPTURE: 'delta',
      LOOM_REDACT: [],
      LOOM_PROJECT: 'loom',
    });
  });

  test.each([
    ['LOOM_TURN_GRACE_MS', '-1'],
    ['LOOM_TURN_RETRY_MS', '1.5'],
    ['LOOM_TURN_IDLE_MS', '0'],
    ['LOOM_TURN_TOOL_IDLE_MS', '0'],
    ['LOOM_CAPTURE', 'some'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => loadConfig(Config, { [name]: value })).toThrow(`${name}: `);
  });

  test.each(Object.keys(Config.shape))('explains %s in --help', (name) => {
    expect(USAGE).toContain(`  ${name} `);
  });
});
