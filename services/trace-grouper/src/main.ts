import { loadConfig } from '@loom/shared/config.ts';
import { createLog } from '@loom/shared/log.ts';
import { runMain } from '@loom/shared/run-main.ts';
import { exitOnSignals } from '@loom/shared/signals.ts';
import { Streams } from '@loom/shared/streams.ts';
import { readPrices } from './adapters/price-file.ts';
import { openSpanExporter } from './adapters/span-exporter.ts';
import { Config, USAGE } from './config.ts';
import { PricesError } from './core/prices.ts';
import { NAME, openGrouper } from './grouper.ts';

await runMain({ name: NAME, usage: USAGE, explained: [PricesError] }, async () => {
  const config = loadConfig(Config, process.env);
  const prices = await readPrices(config.LOOM_PRICES_FILE);
  const log = createLog({ service: NAME, level: config.LOG_LEVEL });
  const { REDIS_URL: url, LOOM_KEY_PREFIX: prefix } = config;
  // No replica is named in it: a turn that two of them tell of is one event.
  const streams = new Streams({ url, prefix, source: `/loom/${NAME}`, log });
  const exporter = openSpanExporter(process.env);
  const grouper = openGrouper({ config, streams, exporter, log, prices });

  exitOnSignals(log, () => grouper.stop());
  await grouper.start();
});
