import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ConfigError, loadConfig } from '@loom/shared/config.ts';
import { openBoard } from './up/board.ts';
import { PortTakenError } from './up/ports.ts';
import { AlreadyRunningError } from './up/run-record.ts';
import { ScaleError, scaleOut } from './up/scale.ts';
import { findServices, ServiceFolderError } from './up/services.ts';
import { HELP, Settings } from './up/settings.ts';
import { runStack } from './up/stack.ts';

const root = join(import.meta.dirname, '..');
const EXPLAINED = [AlreadyRunningError, ConfigError, PortTakenError, ScaleError, ServiceFolderError];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', short: 'h' },
      scale: { type: 'string', multiple: true, default: [] },
      services: { type: 'string', default: join(root, 'services') },
      state: { type: 'string', default: join(root, '.loom') },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const settings = loadConfig(Settings, process.env);
  const services = scaleOut(findServices(resolve(values.services)), values.scale);
  const board = openBoard(['loom', 'redis', ...services.map(({ name }) => name)], process.stdout);

  const stop = new AbortController();
  const end = () => {
    // The second time somebody does not want to wait; what runs is killed on exit.
    if (stop.signal.aborted) process.exit(130);
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end);
  // The reader of a pipe is gone (`make up | head`): nobody sees the services any more.
  process.stdout.once('error', end);

  await runStack({ settings, services, state: resolve(values.state), environment: process.env, board }, stop.signal);
}

try {
  await main();
} catch (error) {
  const known = EXPLAINED.some((kind) => error instanceof kind);
  process.stderr.write(`${known ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`);
  process.exitCode = 1;
}
