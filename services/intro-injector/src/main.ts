import { hostname } from 'node:os';
import { loadConfig } from '@loom/shared/config.ts';
import { createLog } from '@loom/shared/log.ts';
import { editsProposed } from '@loom/shared/proposal.ts';
import { runMain } from '@loom/shared/run-main.ts';
import { runService } from '@loom/shared/service.ts';
import { Streams } from '@loom/shared/streams.ts';
import { openMemorableStore } from './adapters/memorable-store.ts';
import { Config, USAGE } from './config.ts';
import { createInjector, NAME } from './inject.ts';

/** How much of the hold a question to Redis may take: the rest is the way here and back. */
const REDIS_SHARE = 2 / 3;

await runMain({ name: NAME, usage: USAGE }, async () => {
  const config = loadConfig(Config, process.env);
  const log = createLog({ service: NAME, level: config.LOG_LEVEL });
  const source = `/loom/${NAME}/${hostname()}`;
  const streams = new Streams({ url: config.REDIS_URL, prefix: config.LOOM_KEY_PREFIX, source, log });
  const store = openMemorableStore(
    streams.redis,
    (name) => streams.key(name),
    Math.ceil(REDIS_SHARE * config.LOOM_INTRO_HOLD_MS),
  );
  const layout = { budgetTokens: config.LOOM_INTRO_BUDGET_TOKENS, tag: config.LOOM_INTRO_TAG };
  const injector = createInjector(store, layout, log);

  await runService({
    name: NAME,
    streams,
    log,
    rewriter: {
      order: 20,
      holdMs: config.LOOM_INTRO_HOLD_MS,
      whenAbsent: 'forward',
      profiles: ['*'],
      wants: [{ on: 'human' }],
      view: ['last'],
    },
    on: {
      'request.received': async (event) => [editsProposed(event.data, await injector.propose(event))],
      'request.forwarded': async (event) => {
        await injector.settle(event);
        return [];
      },
      'response.failed': async (event) => {
        await injector.giveBack(event);
        return [];
      },
    },
  });
});
