import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { loadConfig } from '@loom/shared/config.ts';
import { Config, USAGE } from '../src/config.ts';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

describe('Config', () => {
  test('has a value for every setting but telemetry', () => {
    expect(loadConfig(Config, {})).toEqual({
      REDIS_URL: 'redis://127.0.0.1:6379',
      LOOM_KEY_PREFIX: 'loom',
      LOG_LEVEL: 'info',
      LOOM_PROMPTS_DIR: fileURLToPath(new URL('../../../deploy/prompts', import.meta.url)),
      LOOM_COMPACT_HOLD_MS: 10_000,
      LOOM_HUMAN: 'my human',
    });
  });

  test.each([
    ['LOOM_COMPACT_HOLD_MS', '0'],
    ['LOOM_COMPACT_HOLD_MS', '30001'],
  ])('refuses %s=%j', (name, value) => {
    expect(() => loadConfig(Config, { [name]: value })).toThrow(`  ${name}: `);
  });

  test.each(Object.keys(Config.shape))('is explained by --help and by the README: %s', (name) => {
    expect([USAGE.includes(`  ${name} `), README.includes(`\`${name}\``)]).toEqual([true, true]);
  });
});
