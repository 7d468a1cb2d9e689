import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { type Bed, type Collector, openBed, startCollector } from './bed.ts';
import { drafts } from './story.ts';

let server: RedisServer;
let collector: Collector;
let bed: Bed;
const running = new Set<ChildProcess>();
const folder = fileURLToPath(new URL('..', import.meta.url));

beforeAll(async () => {
  [server, collector] = await Promise.all([startRedis(), startCollector()]);
});
afterAll(async () => {
  await collector.close();
  await server.close();
});
beforeEach(async () => {
  collector.spans.length = 0;
  bed = await openBed(server, collector);
});
afterEach(async () => {
  for (const child of running) child.kill('SIGKILL');
  await bed.close();
});

function run(args: string[] = [], settings: Record<string, string> = {}): ChildProcess {
  const env = {
    ...PASSED_ON,
    REDIS_URL: server.url,
    LOOM_KEY_PREFIX: bed.prefix,
    LOOM_TURN_GRACE_MS: '50',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    ...settings,
  };
  const command = ['--import', '@loom/shared/instrument.ts', 'src/main.ts', ...args];
  const child = spawn(process.execPath, command, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

async function start(settings: Record<string, string> = {}): Promise<ChildProcess> {
  const child = run([], settings);
  let written = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    written += text;
  });
  await until(() => written.includes('"started"'));
  return child;
}

/** Resolves to the exit code. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(child, 'exit');
  child.kill(signal);
  const [code] = await exited;
  return code;
}

const hook = { prompt: 'Mend the gate.' };
const asks = drafts('r1', { hook, stopReason: 'tool_use', toolUses: [{ id: 't1', name: 'Bash' }] });
const answers = drafts('r2', { at: 3_000, text: 'Mended.', toolResults: [{ id: 't1', isError: false }] });

/** The first words of the spans of a turn, among those of the process itself. */
const OURS = new Set(['user-turn', 'collect-metadata', 'turn', 'chat', 'execute_tool']);

describe('the process', () => {
  test('finishes after a restart what it had begun when it was killed', async () => {
    const first = await start();
    await bed.publish(...asks);
    await bed.taken();
    await end(first, 'SIGKILL');
    await bed.publish(...answers);
    const second = await start();

    const ended = await bed.ended(1);
    const code = await end(second, 'SIGTERM');

    expect(ended.map(({ data }) => [data.calls.main, data.answer])).toEqual([[2, 'Mended.']]);
    expect((await bed.events('turn.started')).length).toBe(1);
    expect(code).toBe(0);
    const sent = collector.spans.map(({ name }) => name.split(/[: ]/)[0]);
    expect(sent.filter((name) => OURS.has(name ?? '')).sort()).toEqual([
      'chat',
      'chat',
      'collect-metadata',
      'execute_tool',
      'turn',
      'user-turn',
    ]);
  });

  test('drains without waiting for a collector that never answers, and loses no turn', async () => {
    let asked = 0;
    const silent = createServer(() => {
      asked += 1;
    }).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    // The exporter by itself would give the collector so long.
    const first = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_TIMEOUT: '600000' });

    await bed.publish(...asks, ...answers);
    await until(async () => asked > 0 && (await bed.events('turn.ended')).length === 1);
    const code = await end(first, 'SIGTERM');
    silent.closeAllConnections();
    silent.close();
    const kept = await bed.redis.keys(bed.key('turn:*'));

    expect(code).toBe(0);
    expect(kept.some((key) => !key.endsWith(':done'))).toBe(true);
  });

  test('prints its settings for --help, and says which price table it misses', async () => {
    const printed = async (child: ChildProcess) => {
      const texts: string[] = [];
      for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding('utf8').on('data', (text: string) => texts.push(text));
      const [code] = await once(child, 'close');
      return [code, texts.join('')];
    };

    // Without the SDK, which takes its time.
    const silent = { OTEL_EXPORTER_OTLP_ENDPOINT: '' };
    const help = await printed(run(['--help'], silent));
    const unpriced = await printed(run([], { ...silent, LOOM_PRICES_FILE: '/none.yaml' }));

    expect(help).toEqual([0, expect.stringContaining('LOOM_TURN_IDLE_MS')]);
    expect(unpriced).toEqual([1, 'trace-grouper: expected a price table at /none.yaml\n']);
  });
});
