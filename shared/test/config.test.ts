import { describe, expect, test } from '@jest/globals';
import { CommonConfig, ConfigError, loadConfig, port, urlTo, wholeNumber } from '@loom/shared/config.ts';

const Config = CommonConfig.extend({ LOOM_PORT: port.default(8080), LOOM_HOLD_MS: wholeNumber(1).default(150) });

const problemsOf = (environment: Record<string, string>): string[] => {
  try {
    loadConfig(Config, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n');
    throw error;
  }
  return [];
};

describe('loadConfig', () => {
  test('takes what is set and fills in the rest, an empty variable being an unset one', () => {
    expect(loadConfig(Config, { LOOM_PORT: '0', LOG_LEVEL: '', LOOM_KEY_PREFIX: '{loom}', HOME: '/home/x' })).toEqual({
      REDIS_URL: 'redis://127.0.0.1:6379',
      LOOM_KEY_PREFIX: '{loom}',
      LOG_LEVEL: 'info',
      LOOM_PORT: 0,
      LOOM_HOLD_MS: 150,
    });
  });

  test('names every problem at once, with what came', () => {
    expect(problemsOf({ LOOM_PORT: '70000', LOOM_HOLD_MS: 'soon', LOOM_KEY_PREFIX: 'a b' })).toEqual([
      'these settings are wrong:',
      '  LOOM_KEY_PREFIX: expected letters, digits, _ - { }, got "a b"',
      '  LOOM_PORT: expected a port, got "70000"',
      '  LOOM_HOLD_MS: expected a whole number, got "soon"',
    ]);
  });

  test('does not show what may be a secret', () => {
    expect(problemsOf({ REDIS_URL: 'http://loom:s3cret@host' })).toEqual([
      'these settings are wrong:',
      '  REDIS_URL: expected redis://host:port',
    ]);
  });

  test.each(['redis://127.0.0.1:6379', 'rediss://user:pass@host:6380/1', 'unix:///run/redis.sock'])(
    'accepts %s',
    (REDIS_URL) => {
      expect(loadConfig(CommonConfig, { REDIS_URL }).REDIS_URL).toBe(REDIS_URL);
    },
  );
});

test.each([
  ['127.0.0.1', 'http://127.0.0.1:8080'],
  ['0.0.0.0', 'http://127.0.0.1:8080'],
  ['::', 'http://[::1]:8080'],
  ['fd00::2', 'http://[fd00::2]:8080'],
  ['pi.local', 'http://pi.local:8080'],
])('urlTo reaches a server that listens on %s', (host, url) => {
  expect(urlTo(host, 8080)).toBe(url);
});
