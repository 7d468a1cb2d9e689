import { fileURLToPath } from 'node:url';
import { CommonConfig, wholeNumber } from '@loom/shared/config.ts';
import { z } from 'zod';

/** The settings of the compact-rewriter, from the environment. */
export const Config = CommonConfig.extend({
  LOOM_PROMPTS_DIR: z.string().default(fileURLToPath(new URL('../../../deploy/prompts', import.meta.url))),
  LOOM_COMPACT_HOLD_MS: wholeNumber(1).max(30_000).default(10_000),
  LOOM_HUMAN: z.string().trim().min(1, 'expected a name').default('my human'),
});

/** What `--help` prints. */
export const USAGE = `compact-rewriter: lets a persona stay itself through a compaction, in its own words.

  npm start -w @loom/compact-rewriter
  LOOM_HUMAN=Sam LOOM_PROMPTS_DIR=/srv/prompts npm start -w @loom/compact-rewriter

Settings are environment variables:
  LOOM_PROMPTS_DIR      a folder for each profile, with identity.md, compact.md, continuation.md and, if wanted,
                        profile.yaml (deploy/prompts of this repository)
  LOOM_COMPACT_HOLD_MS  how long a request waits for this service at most, milliseconds (10000, at most 30000)
  LOOM_HUMAN            who the personas work with, where profile.yaml does not say (my human)
  REDIS_URL             redis://127.0.0.1:6379
  REDIS_USERNAME        of the user that this service is there (unset)
  REDIS_PASSWORD_FILE   holds that user's password (unset)
  LOOM_KEY_PREFIX       loom
  LOG_LEVEL             error, warn, info or debug (info)
  LOOM_LOG_FORMAT       json or pretty (json)
  OTEL_EXPORTER_OTLP_ENDPOINT  unset: no telemetry
`;
