import { describe, expect, test } from '@jest/globals';
import { loadConfig } from '@loom/shared/config.ts';
import { redisUrl, Settings, serviceEnvironment } from '../up/settings.ts';

const place = { state: '/loom/.loom', cwd: '/home/ada' };

describe('serviceEnvironment', () => {
  test('adds what make up decided to what it was started with', () => {
    const settings = loadConfig(Settings, { LOOM_PORT: '9090' });

    expect(serviceEnvironment(settings, 'gateway', { ...place, environment: { HOME: '/home/ada' } })).toEqual({
      HOME: '/home/ada',
      NODE_COMPILE_CACHE: '/loom/.loom/compiled',
      LOOM_SPOOL_DIR: '/loom/.loom/spool',
      LOOM_HOST: '127.0.0.1',
      LOOM_PORT: '9090',
      LOOM_ADMIN_PORT: '8081',
      LOOM_LOG_FORMAT: 'pretty',
      REDIS_URL: 'redis://127.0.0.1:6390',
      OTEL_SERVICE_NAME: 'gateway',
    });
  });

  test('keeps what the user set, and makes folders absolute', () => {
    const environment = {
      LOOM_LOG_FORMAT: 'json',
      NODE_COMPILE_CACHE: '/var/cache/loom',
      LOOM_SPOOL_DIR: '/var/spool/loom',
      LOOM_PROMPTS_DIR: 'prompts',
      CLAUDE_DATA_DIR: './claude',
      REDIS_URL: 'redis://10.0.0.2',
    };
    const settings = loadConfig(Settings, environment);

    expect(serviceEnvironment(settings, 'gateway', { ...place, environment })).toEqual({
      LOOM_LOG_FORMAT: 'json',
      NODE_COMPILE_CACHE: '/var/cache/loom',
      LOOM_SPOOL_DIR: '/var/spool/loom',
      LOOM_PROMPTS_DIR: '/home/ada/prompts',
      CLAUDE_DATA_DIR: '/home/ada/claude',
      LOOM_HOST: '127.0.0.1',
      LOOM_PORT: '8080',
      LOOM_ADMIN_PORT: '8081',
      REDIS_URL: 'redis://10.0.0.2',
      OTEL_SERVICE_NAME: 'gateway',
    });
  });
});

describe('redisUrl', () => {
  test('is the private Redis unless the settings name one', () => {
    expect(redisUrl(loadConfig(Settings, { LOOM_REDIS_PORT: '7000' }))).toBe('redis://127.0.0.1:7000');
    expect(redisUrl(loadConfig(Settings, { REDIS_URL: 'redis://10.0.0.2' }))).toBe('redis://10.0.0.2');
  });
});
