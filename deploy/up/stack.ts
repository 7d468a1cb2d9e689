import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { urlTo } from '@loom/shared/config.ts';
import type { Board } from './board.ts';
import { requireFreePorts } from './ports.ts';
import { gatewayIsReady, RedisUnreachableError, redisAnswers } from './readiness.ts';
import { readEvents } from './responses.ts';
import { endLeftovers, RunRecord } from './run-record.ts';
import type { Replica } from './scale.ts';
import { redisUrl, type Settings, serviceEnvironment } from './settings.ts';
import { type Program, type Supervised, supervise, type Watcher } from './supervisor.ts';
import { formatTurn } from './turn-line.ts';
import { foldTurns, NO_TURNS } from './turns.ts';

/** What to run, and where. */
export interface Stack {
  settings: Settings;
  services: Replica[];
  /** Folder of Redis' data, the spool and the record of what runs. */
  state: string;
  environment: NodeJS.ProcessEnv;
  board: Board;
}

/** How long a program may drain before it is killed, milliseconds; the gateway lets answers finish for 30 s. */
export const GRACE_MS = 35_000;

/** How long to wait for Redis before the services start without it, milliseconds. */
const REDIS_MS = 10_000;

const REDIS_CONFIG = join(import.meta.dirname, '../redis/redis.conf');

/**
 * Runs Redis and the services until `stop` is aborted, then drains them: the services first, Redis last.
 *
 * However this process ends, what it started ends too; after SIGKILL the record says what is left, and the next
 * `make up` or `make down` ends that.
 *
 * @throws AlreadyRunningError, PortTakenError; everything that was started has ended by then
 */
export async function runStack(stack: Stack, stop: AbortSignal): Promise<void> {
  const { settings, services, state, environment, board } = stack;
  const say = (line: string) => board.write('loom', line);
  const left = await endLeftovers(state, GRACE_MS);
  if (left.length > 0) say(`ended what a killed run had left: ${left.map(({ name }) => name).join(', ')}`);

  const record = new RunRecord(state);
  const watcher: Watcher = {
    started: (name, pid) => record.add(name, pid),
    ended: (_, pid) => record.remove(pid),
    line: (name, line) => board.write(name, line),
  };
  const running: Supervised[] = [];
  const killAll = () => {
    for (const supervised of running) supervised.kill();
  };
  process.once('exit', killAll);
  try {
    await requireFreePorts(portsOf(settings));
    if (!settings.REDIS_URL) running.push(supervise(redisProgram(settings, state, environment), watcher));
    await redisAnswers(redisUrl(settings), REDIS_MS, stop).catch((error: unknown) => {
      if (!(error instanceof RedisUnreachableError)) throw error;
      // Requests are forwarded without Redis, too; what it will miss waits in the spool.
      say(`${error.message}; until it does, requests go out without edits`);
    });
    for (const { name, service, folder, command } of services) {
      const env = serviceEnvironment(settings, service, { environment, state, cwd: process.cwd() });
      running.push(supervise({ name, folder, command: withThisNode(command), environment: env }, watcher));
    }
    await Promise.all([announceReady(settings, say, stop), showTurns(settings, say, stop), aborted(stop)]);
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    if (running.length > 0) say('draining');
    await Promise.all(running.filter(({ name }) => name !== 'redis').map((program) => program.stop(GRACE_MS)));
    await running.find(({ name }) => name === 'redis')?.stop(GRACE_MS);
    record.close();
    process.off('exit', killAll);
  }
}

/** Redis saves its append-only file and ends on SIGTERM, as on SHUTDOWN. */
function redisProgram({ LOOM_REDIS_PORT }: Settings, state: string, environment: NodeJS.ProcessEnv): Program {
  const folder = resolve(state, 'redis');
  mkdirSync(folder, { recursive: true });
  const command = ['redis-server', REDIS_CONFIG, '--port', String(LOOM_REDIS_PORT), '--dir', folder];
  return { name: 'redis', command, folder, environment };
}

const LOOM = join(import.meta.dirname, '../../services/console/bin/loom');

function portsOf({ LOOM_HOST, LOOM_PORT, LOOM_ADMIN_HOST, LOOM_ADMIN_PORT, LOOM_REDIS_PORT, REDIS_URL }: Settings) {
  const holder = 'another gateway or a web server';
  return [
    { host: LOOM_HOST, port: LOOM_PORT, setting: 'LOOM_PORT', holder },
    { host: LOOM_ADMIN_HOST, port: LOOM_ADMIN_PORT, setting: 'LOOM_ADMIN_PORT', holder },
    ...(REDIS_URL
      ? []
      : [{ host: '127.0.0.1', port: LOOM_REDIS_PORT, setting: 'LOOM_REDIS_PORT', holder: 'another Redis' }]),
  ];
}

/** The Node that runs this is new enough for the services; the one on the PATH may not be. */
function withThisNode([command, ...words]: string[]): string[] {
  return [command === 'node' ? process.execPath : (command as string), ...words];
}

async function announceReady(settings: Settings, say: (line: string) => void, stop: AbortSignal): Promise<void> {
  const { LOOM_HOST, LOOM_PORT, LOOM_ADMIN_HOST, LOOM_ADMIN_PORT } = settings;
  const { LOOM_REDIS_PORT, LOOM_KEY_PREFIX, REDIS_URL } = settings;
  const onWait = (reason: string) => say(`not ready yet: ${reason}`);
  await gatewayIsReady(`${urlTo(LOOM_ADMIN_HOST, LOOM_ADMIN_PORT)}/readyz`, { patienceMs: 15_000, onWait }, stop);
  const redis = REDIS_URL ? '-u "$REDIS_URL"' : `-p ${LOOM_REDIS_PORT}`;
  say('ready. Connect Claude Code:');
  say(
    `  ANTHROPIC_BASE_URL=${urlTo(LOOM_HOST, LOOM_PORT)} CLAUDE_CODE_GATEWAY_HINT_HEADERS=1 ENABLE_TOOL_SEARCH=true claude`,
  );
  say(`or: ${relative(process.cwd(), LOOM)} claude (the command that has status, doctor, tail and why, too)`);
  say('and see the events themselves:');
  say(`  redis-cli ${redis} XREAD BLOCK 0 STREAMS ${LOOM_KEY_PREFIX}:responses '$'`);
  say('Each turn is one line here. Ctrl-C drains and ends everything.');
}

async function showTurns(settings: Settings, say: (line: string) => void, stop: AbortSignal): Promise<void> {
  const key = `${settings.LOOM_KEY_PREFIX}:responses`;
  let turns = NO_TURNS;
  try {
    for await (const event of readEvents(redisUrl(settings), key, stop)) {
      if (event instanceof Error) {
        say(`an entry of ${key} is no event: ${event.message}`);
        continue;
      }
      const next = foldTurns(turns, event);
      turns = next.turns;
      for (const turn of next.ended) say(`turn ${formatTurn(turn)}`);
    }
  } catch (error) {
    // A convenience: the services go on without it.
    say(`turns are not shown: ${(error as Error).message}`);
  }
}

async function aborted(stop: AbortSignal): Promise<void> {
  if (!stop.aborted) await once(stop, 'abort');
}
