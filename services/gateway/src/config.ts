import { CommonConfig, port, wholeNumber } from '@loom/shared';
import { z } from 'zod';

/** The gateway's settings; the README's table says what each is for. */
export const Config = CommonConfig.extend({
  LOOM_HOST: z.string().default('127.0.0.1'),
  LOOM_PORT: port.default(8080),
  LOOM_ADMIN_PORT: port.default(8081),
  LOOM_UPSTREAM_URL: z
    .url({ protocol: /^https?$/, error: 'expected http(s)://host[:port]' })
    .default('https://api.anthropic.com'),
  LOOM_UPSTREAM_IDLE_MS: wholeNumber(1).default(600_000),
  LOOM_MAX_BODY_BYTES: wholeNumber(1).default(67_108_864),
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
  LOOM_SPOOL_DIR: z.string().default('.loom/spool'),
  LOOM_SPOOL_MAX_BYTES: wholeNumber(0).default(67_108_864),
});
export type Config = z.infer<typeof Config>;
