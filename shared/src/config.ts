import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { errorTypeOf } from './redaction.ts';

/** The environment does not fit the schema: one line a problem, each with the variable, what was expected and what came. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/**
 * Reads a service's settings from the environment: all problems in one error, an empty variable is an unset one. A
 * `REDIS_URL` comes with the user of `REDIS_USERNAME` and the password in the file `REDIS_PASSWORD_FILE` in it.
 *
 * @example
 * const Config = z.object({ LOOM_PORT: port.default(8080) });
 * loadConfig(Config, process.env).LOOM_PORT; // 8080
 */
export function loadConfig<Schema extends z.ZodObject>(
  schema: Schema,
  environment: Record<string, string | undefined>,
): z.infer<Schema> {
  const set = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value.trim() !== ''),
  );
  const result = schema.safeParse(set);
  if (result.success) return withRedisUser(result.data, set);
  const lines = result.error.issues.map((issue) => {
    const name = issue.path.join('.');
    // A value is shown only where it cannot be a secret.
    const got =
      name in set && !/SECRET|PASSWORD|TOKEN$|KEY$|URL/.test(name) ? `, got ${JSON.stringify(set[name])}` : '';
    return `  ${name}: ${issue.message}${got}`;
  });
  throw new ConfigError(`these settings are wrong:\n${lines.join('\n')}`);
}

/** Puts user and password into the URL, in the place of those that it has. */
function withRedisUser<Settings extends { REDIS_URL?: unknown }>(
  settings: Settings,
  { REDIS_USERNAME: username, REDIS_PASSWORD_FILE: file }: Record<string, string | undefined>,
): Settings {
  const { REDIS_URL } = settings;
  if (typeof REDIS_URL !== 'string' || (username === undefined && file === undefined)) return settings;
  const url = new URL(REDIS_URL);
  const user = { ...(username && { username }), ...(file && { password: readPassword(file) }) };
  for (const [name, value] of Object.entries(user) as ['username' | 'password', string][]) {
    // A URL without a host has no place for a user; ioredis takes a socket's from the query.
    if (url.host === '') url.searchParams.set(name, value);
    // By itself a URL leaves a percent sign as it is.
    else url[name] = encodeURIComponent(value);
  }
  return { ...settings, REDIS_URL: url.href };
}

function readPassword(file: string): string {
  const fail = (got: string, cause?: unknown) =>
    new ConfigError(`these settings are wrong:\n  REDIS_PASSWORD_FILE: expected a file with a password, got ${got}`, {
      cause,
    });
  let password: string;
  try {
    password = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw fail(`${errorTypeOf(error)} at ${JSON.stringify(file)}`, error);
  }
  if (password === '') throw fail(`an empty one at ${JSON.stringify(file)}`);
  return password;
}

/** A TCP port; 0 takes any free one. */
export const port = z.coerce.number('expected a port').int().min(0).max(65_535);

/**
 * How a server that listens there is reached from its own machine: what stands for every address is none to connect to.
 *
 * @example
 * urlTo('0.0.0.0', 8080); // 'http://127.0.0.1:8080'
 */
export function urlTo(host: string, port: number): string {
  const address = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** A whole number of at least `least`, with its unit in the setting's name. */
export const wholeNumber = (least: number) => z.coerce.number('expected a whole number').int().min(least);

/** Settings that every service shares. */
export const CommonConfig = z.object({
  REDIS_URL: z
    .url({ protocol: /^(rediss?|unix)$/, error: 'expected redis://host:port' })
    .default('redis://127.0.0.1:6379'),
  /** Goes into `REDIS_URL`, as the password does; see `loadConfig`. */
  REDIS_USERNAME: z.string().optional(),
  /** Holds the password and nothing else but blanks around it. */
  REDIS_PASSWORD_FILE: z.string().optional(),
  LOOM_KEY_PREFIX: z
    .string()
    .regex(/^[\w{}-]{1,64}$/, 'expected letters, digits, _ - { }')
    .default('loom'),
  LOG_LEVEL: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
  OTEL_EXPORTER_OTLP_ENDPOINT: z.url({ error: 'expected http://host:port' }).optional(),
});
