import { ConfigError, createLog, loadConfig, shutdownTelemetry } from '@loom/shared';
import { Config } from './config.ts';
import { startGateway } from './gateway.ts';

const HELP = `Loom's gateway: forwards Claude Code's requests to the Anthropic API and tells Redis about them.

  node --import @loom/shared/instrument.ts src/main.ts

Settings are environment variables (README.md lists them all); the most used:
  LOOM_PORT=8080  LOOM_ADMIN_PORT=8081  LOOM_UPSTREAM_URL=https://api.anthropic.com  REDIS_URL=redis://127.0.0.1:6379

Example: LOOM_PORT=9090 node --import @loom/shared/instrument.ts src/main.ts
`;

if (process.argv.includes('--help')) {
  process.stdout.write(HELP);
  process.exit(0);
}

try {
  const config = loadConfig(Config, process.env);
  const log = createLog({ service: 'gateway', level: config.LOG_LEVEL });
  const gateway = await startGateway(config, log);
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, async () => {
      if (isStopping) process.exit(1);
      isStopping = true;
      log.info('draining', { signal });
      await gateway.stop();
      await shutdownTelemetry();
      process.exit(0);
    });
  }
} catch (error) {
  process.stderr.write(`gateway: ${error instanceof ConfigError ? error.message : (error as Error).stack}\n`);
  process.exit(1);
}
