import { homedir } from 'node:os';
import { join } from 'node:path';
import { CommonConfig, wholeNumber } from '@loom/shared/config.ts';
import { z } from 'zod';

/** The settings of the transcript-watcher, from the environment. */
export const Config = CommonConfig.extend({
  CLAUDE_DATA_DIR: z.string().default(join(homedir(), '.claude')),
  LOOM_WATCH_FROM: z.enum(['end', 'start']).default('end'),
  LOOM_WATCH_IDLE_MS: wholeNumber(100).default(3_600_000),
  LOOM_WATCH_POLL_MS: wholeNumber(20).optional(),
  LOOM_WATCH_SESSIONS: wholeNumber(1).default(1_000),
});
export type Config = z.infer<typeof Config>;

/** What `--help` prints. */
export const USAGE = `transcript-watcher: publishes each new line of the transcripts of sessions that Loom sees.

  npm start -w @loom/transcript-watcher
  npm start -w @loom/transcript-watcher -- --scan   have the sessions watched whose files changed within the
                                                    idle time, say how many, and end
Settings are environment variables:
  CLAUDE_DATA_DIR           the client's folder, with projects/ in it (~/.claude)
  LOOM_WATCH_FROM           end or start: where a session's files are read from that are there at its first request (end);
                            a conversation that began less than 10 s before it is read from its start in any case
  LOOM_WATCH_IDLE_MS        after how long without a line or a request a session is let go, milliseconds (3600000)
  LOOM_WATCH_POLL_MS        looks at the files so often instead of asking the system to tell, for network mounts (unset)
  LOOM_WATCH_SESSIONS       the most sessions that this process holds at a time (1000)
  REDIS_URL                 redis://127.0.0.1:6379
  REDIS_USERNAME            of the user that this service is there (unset)
  REDIS_PASSWORD_FILE       holds that user's password (unset)
  LOOM_KEY_PREFIX           loom
  LOG_LEVEL                 error, warn, info or debug (info)
  LOOM_LOG_FORMAT           json or pretty (json)
  OTEL_EXPORTER_OTLP_ENDPOINT  unset: no telemetry
`;
