import { CommonConfig, wholeNumber } from '@loom/shared/config.ts';
import { CaptureMode } from '@loom/shared/event.ts';
import { patterns } from '@loom/shared/patterns.ts';
import { z } from 'zod';

/** The settings of the trace-grouper, from the environment. */
export const Config = CommonConfig.extend({
  LOOM_TURN_GRACE_MS: wholeNumber(0).max(60_000).default(2_000),
  LOOM_TURN_RETRY_MS: wholeNumber(0).max(3_600_000).default(60_000),
  LOOM_TURN_IDLE_MS: wholeNumber(1).max(43_200_000).default(600_000),
  LOOM_TURN_TOOL_IDLE_MS: wholeNumber(1).max(43_200_000).default(3_600_000),
  LOOM_CAPTURE: CaptureMode.default('delta'),
  LOOM_REDACT: patterns.default([]),
  LOOM_PRICES_FILE: z.string().optional(),
  LOOM_PROJECT: z.string().default('loom'),
});

/** What `--help` prints. */
export const USAGE = `trace-grouper: makes turns of exchanges, publishes them, and sends their spans to a collector.

  npm start -w @loom/trace-grouper
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 npm start -w @loom/trace-grouper

Settings are environment variables:
  LOOM_TURN_GRACE_MS   how long a final answer waits for the client to go on, milliseconds (2000)
  LOOM_TURN_RETRY_MS   how long a failed call waits for its retry, milliseconds (60000)
  LOOM_TURN_IDLE_MS    after how long without a sign a turn is abandoned, milliseconds (600000)
  LOOM_TURN_TOOL_IDLE_MS  the same while a tool runs, or waits for a permission, milliseconds (3600000)
  LOOM_CAPTURE         none, metadata, delta or full (delta): the first two leave prompts, answers and content out
  LOOM_REDACT          regular expressions, a line or a JSON string each: what matches is never kept or sent (unset)
  LOOM_PRICES_FILE     a price table instead of prices/anthropic.yaml
  LOOM_PROJECT         the project of the spans in Phoenix (loom)
  REDIS_URL            redis://127.0.0.1:6379
  REDIS_USERNAME       of the user that this service is there (unset)
  REDIS_PASSWORD_FILE  holds that user's password (unset)
  LOOM_KEY_PREFIX      loom
  LOG_LEVEL            error, warn, info or debug (info)
  LOOM_LOG_FORMAT      json or pretty (json)
  OTEL_EXPORTER_OTLP_ENDPOINT  unset: spans go nowhere, turns are published all the same
`;
