import { describe, expect, test } from '@jest/globals';
import { loadConfig } from '@loom/shared/config.ts';
import { Config, USAGE } from '../src/config.ts';

describe('Config', () => {
  test('has a default for everything', () => {
    expect(loadConfig(Config, {})).toEqual({
      REDIS_URL: 'redis://127.0.0.1:6379',
      LOOM_KEY_PREFIX: 'loom',
      LOG_LEVEL: 'info',
      LOOM_INTRO_HOLD_MS: 150,
      LOOM_INTRO_BUDGET_TOKENS: 1_000,
      LOOM_INTRO_TAG: 'subvox',
    });
  });

  test.each([
    ['LOOM_INTRO_HOLD_MS', '0'],
    ['LOOM_INTRO_BUDGET_TOKENS', '49'],
    ['LOOM_INTRO_TAG', 'sub vox'],
    ['LOOM_INTRO_TAG', '/subvox'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => loadConfig(Config, { [name]: value })).toThrow(`${name}: `);
  });

  test.each(Object.keys(Config.shape))('explains %s in --help', (name) => {
    expect(USAGE).toContain(`  ${name} `);
  });
});
