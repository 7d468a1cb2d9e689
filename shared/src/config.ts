import { z } from 'zod';

/** The environment does not fit the schema: one line a problem, each with the variable, what was expected and what came. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/**
 * Reads a service's settings from the environment: all problems in one error, an empty variable is an unset one.
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
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => {
    const name = issue.path.join('.');
    // A value is shown only where it cannot be a secret.
    const got =
      name in set && !/SECRET|PASSWORD|TOKEN$|KEY$|URL/.test(name) ? `, got ${JSON.stringify(set[name])}` : '';
    return `  ${name}: ${issue.message}${got}`;
  });
  throw new ConfigError(`these settings are wrong:\n${lines.join('\n')}`);
}

/** A TCP port; 0 takes any free one. */
export const port = z.coerce.number('expected a port').int().min(0).max(65_535);

/** A whole number of at least `least`, with its unit in the setting's name. */
export const wholeNumber = (least: number) => z.coerce.number('expected a whole number').int().min(least);

/** Settings that every service shares. */
export const CommonConfig = z.object({
  REDIS_URL: z
    .url({ protocol: /^(rediss?|unix)$/, error: 'expected redis://host:port' })
    .default('redis://127.0.0.1:6379'),
  LOOM_KEY_PREFIX: z
    .string()
    .regex(/^[\w{}-]{1,64}$/, 'expected letters, digits, _ - { }')
    .default('loom'),
  LOG_LEVEL: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
  OTEL_EXPORTER_OTLP_ENDPOINT: z.url({ error: 'expected http://host:port' }).optional(),
});
