import { CommonConfig, wholeNumber } from '@loom/shared/config.ts';
import { z } from 'zod';

/** The settings of the intro-injector, from the environment. */
export const Config = CommonConfig.extend({
  LOOM_INTRO_HOLD_MS: wholeNumber(1).max(30_000).default(150),
  LOOM_INTRO_BUDGET_TOKENS: wholeNumber(50).default(1_000),
  LOOM_INTRO_TAG: z
    .string()
    .regex(/^[a-z][a-z0-9_-]{0,15}$/, 'expected a tag name of at most 16 characters, such as subvox')
    .default('subvox'),
});

/** What `--help` prints. */
export const USAGE = `intro-injector: gives Intro's memorables to the persona, at the end of what the human typed.

  npm start -w @loom/intro-injector
  LOOM_INTRO_BUDGET_TOKENS=500 LOG_LEVEL=debug npm start -w @loom/intro-injector

Settings are environment variables:
  LOOM_INTRO_HOLD_MS        how long a request waits for this service at most, milliseconds (150)
  LOOM_INTRO_BUDGET_TOKENS  the most that one block may cost, tokens of 3.5 bytes (1000, at least 50)
  LOOM_INTRO_TAG            the block's tag (subvox)
  REDIS_URL                 redis://127.0.0.1:6379
  REDIS_USERNAME            of the user that this service is there (unset)
  REDIS_PASSWORD_FILE       holds that user's password (unset)
  LOOM_KEY_PREFIX           loom
  LOG_LEVEL                 error, warn, info or debug (info); debug tells hits and misses
  LOOM_LOG_FORMAT           json or pretty (json)
  OTEL_EXPORTER_OTLP_ENDPOINT  unset: no telemetry
`;
