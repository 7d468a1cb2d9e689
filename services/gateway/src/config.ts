import { CommonConfig, port, wholeNumber } from '@loom/shared/config.ts';
import { CaptureMode } from '@loom/shared/event.ts';
import { patterns } from '@loom/shared/patterns.ts';
import { z } from 'zod';

/** The gateway's settings; the README's table says what each is for. */
export const Config = CommonConfig.extend({
  LOOM_HOST: z.string().default('127.0.0.1'),
  LOOM_PORT: port.default(8080),
  LOOM_ADMIN_HOST: z.string().default('127.0.0.1'),
  LOOM_ADMIN_PORT: port.default(8081),
  LOOM_UPSTREAM_URL: z
    .url({ protocol: /^https?$/, error: 'expected http(s)://host[:port]' })
    .default('https://api.anthropic.com'),
  LOOM_UPSTREAM_IDLE_MS: wholeNumber(1).default(600_000),
  LOOM_READ_MS: wholeNumber(1).default(50),
  LOOM_MAX_BODY_BYTES: wholeNumber(1).default(67_108_864),
  LOOM_MAX_HELD_BYTES: wholeNumber(1).default(201_326_592),
  LOOM_EXPECTED_REWRITERS: z
    .string()
    .default('compact-rewriter,intro-injector')
    .transform((names) =>
      names
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    ),
  LOOM_HOOK_SECRET: z.string().min(16, 'expected at least 16 characters').optional(),
  LOOM_CAPTURE: CaptureMode.default('delta'),
  LOOM_REDACT: patterns.default([]),
  LOOM_SPOOL_DIR: z.string().default('.loom/spool'),
  LOOM_SPOOL_MAX_BYTES: wholeNumber(0).default(67_108_864),
});
export type Config = z.infer<typeof Config>;

/** What `--help` prints. */
export const USAGE = `gateway: forwards Claude Code's requests to the Anthropic API and tells Redis about them.

  npm start -w @loom/gateway
  LOOM_PORT=9090 LOOM_UPSTREAM_URL=http://127.0.0.1:9000 npm start -w @loom/gateway

Settings are environment variables:
  LOOM_PORT, LOOM_HOST     where clients connect (8080, 127.0.0.1)
  LOOM_ADMIN_PORT          /healthz, /readyz, /metrics (8081)
  LOOM_ADMIN_HOST          where they answer; whoever reaches them needs no password (127.0.0.1)
  LOOM_UPSTREAM_URL        where requests go (https://api.anthropic.com)
  LOOM_UPSTREAM_IDLE_MS    how long the upstream may be silent, milliseconds (600000)
  LOOM_READ_MS             how long a request waits for Redis to tell of its session, milliseconds; 5 times as long for its edits (50)
  LOOM_MAX_BODY_BYTES      larger Messages requests get a 413 (67108864)
  LOOM_MAX_HELD_BYTES      beyond so many of them in memory at once, the next gets a 503 (201326592)
  LOOM_EXPECTED_REWRITERS  who /readyz wants to see alive (compact-rewriter,intro-injector)
  LOOM_HOOK_SECRET         metadata blocks count only when signed with it; at least 16 characters (unset)
  LOOM_CAPTURE             what is published of the conversation: none, metadata, delta or full (delta)
  LOOM_REDACT              regular expressions, a line or a JSON string each: what matches is never published (unset)
  LOOM_SPOOL_DIR           events that wait for Redis (.loom/spool)
  LOOM_SPOOL_MAX_BYTES     at most so many bytes of them (67108864)
  REDIS_URL                redis://127.0.0.1:6379
  REDIS_USERNAME           of the user that this service is there (unset)
  REDIS_PASSWORD_FILE      holds that user's password (unset)
  LOOM_KEY_PREFIX          loom
  LOG_LEVEL                error, warn, info or debug (info)
  LOOM_LOG_FORMAT          json or pretty (json)
  OTEL_EXPORTER_OTLP_ENDPOINT  unset: no telemetry
`;
