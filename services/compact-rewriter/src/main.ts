import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { loadConfig } from '@loom/shared/config.ts';
import { createLog } from '@loom/shared/log.ts';
import { runMain } from '@loom/shared/run-main.ts';
import { runService } from '@loom/shared/service.ts';
import { Streams } from '@loom/shared/streams.ts';
import { openPinnedPrompts } from './adapters/pinned-prompts.ts';
import { watchPrompts } from './adapters/prompt-files.ts';
import { Config, USAGE } from './config.ts';
import { PackError, parsePack, wantsOf } from './core/packs.ts';
import { PromptError } from './core/prompts.ts';
import { propose } from './propose.ts';

const NAME = 'compact-rewriter';

await runMain({ name: NAME, usage: USAGE, explained: [PackError, PromptError] }, async () => {
  const config = loadConfig(Config, process.env);
  const log = createLog({ service: NAME, level: config.LOG_LEVEL });
  const signatures = parsePack(readFileSync(new URL('../packs/claude-code.yaml', import.meta.url), 'utf8'));
  const prompts = watchPrompts(config.LOOM_PROMPTS_DIR, config.LOOM_HUMAN, log);
  const source = `/loom/${NAME}/${hostname()}`;
  const streams = new Streams({ url: config.REDIS_URL, prefix: config.LOOM_KEY_PREFIX, source, log });
  const pinned = openPinnedPrompts(streams.redis, (name) => streams.key(name), log);

  await runService({
    name: NAME,
    streams,
    log,
    // A function, because a profile may appear while the service runs.
    rewriter: () => ({
      order: 10,
      holdMs: config.LOOM_COMPACT_HOLD_MS,
      // A compaction that a stranger wrote cannot be undone.
      whenAbsent: 'wait',
      profiles: prompts.profiles(),
      wants: wantsOf(signatures),
      view: ['last', 'matched'],
    }),
    on: { 'request.received': (event) => propose(event, { prompts, pinned, signatures, log }) },
  });
});
