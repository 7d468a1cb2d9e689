import { loadConfig } from '@loom/shared/config.ts';
import { createLog } from '@loom/shared/log.ts';
import { runMain } from '@loom/shared/run-main.ts';
import { exitOnSignals } from '@loom/shared/signals.ts';
import { Config, USAGE } from './config.ts';
import { startGateway } from './gateway.ts';

const NAME = 'gateway';

await runMain({ name: NAME, usage: USAGE }, async () => {
  const config = loadConfig(Config, process.env);
  const log = createLog({ service: NAME, level: config.LOG_LEVEL });
  const starting = startGateway(config, log);
  // Before it has started: who reads that it listens may end it at once.
  exitOnSignals(log, async () => (await starting).stop());
  await starting;
});
