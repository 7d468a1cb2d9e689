import { plain } from '@loom/shared/plain.ts';
import type { Redis } from 'ioredis';
import { withRedis } from './adapters/redis.ts';
import { screenOf } from './adapters/terminal.ts';
import { findPlace } from './config.ts';
import type { Screen } from './core/screen.ts';

/** What a command has to do its work with. */
export interface Context {
  redis: Redis;
  screen: Screen;
  /** Goes before every key, with a colon. */
  prefix: string;
  /** The Redis key of a stream or record. */
  key(name: string): string;
  /** Writes a line to stdout. */
  print(line: string): void;
  /** Writes a line to stderr, for the person and not for the pipe. */
  tell(sentence: string): void;
}

/**
 * Opens Redis for a command, runs it and closes everything.
 *
 * @param patience `patient` for a command that watches for ever: it waits while Redis is away
 * @throws Complaint, ConfigError
 */
export async function withContext<T>(
  patience: 'fail-fast' | 'patient',
  command: (context: Context) => Promise<T>,
): Promise<T> {
  const { redisUrl: url, prefix } = await findPlace(process.env);
  const tell = (sentence: string) => void process.stderr.write(`loom: ${plain(sentence)}\n`);
  return withRedis({ url, patience, tell }, (redis) =>
    command({
      redis,
      screen: screenOf(process.stdout, process.env),
      prefix,
      key: (name) => `${prefix}:${name}`,
      print: (line) => void process.stdout.write(`${line}\n`),
      tell,
    }),
  );
}
