import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { encodeEvent } from '@loom/shared/event.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { event, requestForwarded, turnSummary } from './events.ts';
import { openHome } from './home.ts';
import { FOLDER, killAll } from './loom.ts';

const server = await startRedis({ aof: true });
const redis = server.client();
const home = openHome();
const [port, adminPort] = [await freePort(), await freePort()];
const OTHERS = ['compact-rewriter', 'intro-injector', 'trace-grouper', 'transcript-watcher'];
let gateway: ChildProcess;

const ENVIRONMENT = {
  REDIS_URL: server.url,
  LOOM_PORT: String(port),
  LOOM_ADMIN_PORT: String(adminPort),
  LOOM_SPOOL_DIR: home.path('spool/deep'),
};

beforeAll(async () => {
  gateway = spawn(process.execPath, ['src/main.ts'], {
    cwd: join(FOLDER, '../gateway'),
    env: { ...PASSED_ON, ...ENVIRONMENT, LOOM_KEY_PREFIX: 't', LOOM_EXPECTED_REWRITERS: ',', LOG_LEVEL: 'error' },
    stdio: 'inherit',
  });
  // As the others announce themselves.
  for (const name of OTHERS) await redis.set(`t:service:${name}:1`, '{"since":"2026-01-01T00:00:00.000Z"}');
  const summary = turnSummary();
  const { traceId, rootSpanId } = summary.turn;
  const trace = { traceId, rootSpanId, spanId: rootSpanId, origin: 'hook' } as const;
  await redis.set(`t:last-turn:${summary.session}`, JSON.stringify(summary));
  await redis.zadd('t:last-turns', 1, summary.session);
  await redis.xadd('t:responses', '*', ...encodeEvent(event('request.forwarded', requestForwarded({ trace }))));
  const isReady = () =>
    fetch(`http://127.0.0.1:${adminPort}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
  await until(isReady);
  await until(async () => (await redis.keys('t:service:gateway:*')).length > 0);
});
afterAll(async () => {
  killAll();
  const gone = once(gateway, 'exit');
  gateway.kill('SIGKILL');
  await gone;
  home.close();
  await server.close();
});

/** Each check's name with its mark. */
async function doctor(environment: NodeJS.ProcessEnv = {}) {
  const { code, lines } = await home.loom(['doctor'], { ...ENVIRONMENT, ...environment });
  const marks = lines.map((line) => /^(.) ([a-z ]+): /.exec(line)?.slice(1).reverse() ?? [line, '?']);
  return { code, lines, marks: Object.fromEntries(marks) as Record<string, string> };
}

const ALL_WELL = {
  node: '✓',
  redis: '✓',
  version: '✓',
  eviction: '✓',
  aof: '✓',
  memory: '✓',
  clock: '✓',
  services: '✓',
  lag: '✓',
  'dead letters': '✓',
  alerts: '✓',
  trace: '✓',
  gateway: '✓',
  port: '✓',
  settings: '✓',
  hook: '✓',
  collector: '·',
  spool: '✓',
};

describe('loom doctor', () => {
  test('finds a stack in order that a client is connected to', async () => {
    await home.loom(['connect', '--yes', '--url', `http://127.0.0.1:${port}`]);

    const { code, lines, marks } = await doctor();

    // A busy machine may run the hook slowly, which is worth a note.
    expect({ ...marks, hook: marks['hook']?.replace('!', '✓') }).toEqual(ALL_WELL);
    expect([code, lines.find((line) => line.startsWith('✓ services'))]).toEqual([
      0,
      '✓ services: compact-rewriter, gateway, intro-injector, trace-grouper, transcript-watcher',
    ]);
  });

  test('notes what a client lacks that was connected by hand', async () => {
    home.write('.claude/settings.json', `{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:${port}"}}`);

    const { code, lines } = await doctor();

    expect(code).toBe(0);
    expect(lines.find((line) => line.includes(' settings: '))).toBe(
      `! settings: ${home.path('.claude/settings.json')} names 127.0.0.1:${port}, and lacks ENABLE_TOOL_SEARCH and ` +
        "CLAUDE_CODE_GATEWAY_HINT_HEADERS: tools are sent whole, or a request's kind is not told. " +
        'Sessions come by way of Loom only if they are told to. loom connect',
    );
  });

  test('says what fails, why it matters, how to mend it, and exits with 1', async () => {
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await redis.config('SET', 'appendonly', 'no');
    await redis.del('t:service:trace-grouper:1');
    await redis.multi().xadd('t:dead-letters', '*', 'tea', 'four').xadd('t:turns', '1-1', 'tea', 'four').exec();
    await redis.xgroup('CREATE', 't:turns', 'sleeper', '0');
    home.write('.claude/settings.json', '{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}}');

    const { code, lines, marks } = await doctor({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });

    expect({ ...marks, hook: marks['hook']?.replace('!', '✓') }).toEqual({
      ...ALL_WELL,
      eviction: '✗',
      aof: '✗',
      services: '✗',
      lag: '✗',
      'dead letters': '!',
      settings: '✗',
      collector: '✗',
    });
    expect([code, lines.find((line) => line.startsWith('✗ aof'))]).toEqual([
      1,
      '✗ aof: off. A restart of Redis would lose durable edits and events. Set appendonly yes in redis.conf',
    ]);
  });

  test('goes on without Redis and without a gateway, and names the port that another program holds', async () => {
    const other = createServer((_, response) => void response.end('tea'));
    const adminPort = await freePort();
    await once(other.listen(0, '127.0.0.1'), 'listening');
    const taken = (other.address() as { port: number }).port;

    const { code, lines, marks } = await doctor({
      REDIS_URL: 'redis://127.0.0.1:1',
      LOOM_PORT: String(taken),
      LOOM_ADMIN_PORT: String(adminPort),
    });

    other.close();
    expect([code, marks['redis'], marks['trace'], marks['gateway'], marks['port']]).toEqual([1, '✗', '·', '✗', '✗']);
    expect(lines.find((line) => line.startsWith('✗ port'))).toBe(
      `✗ port: ${taken} is taken by another program. The gateway listens there. ss -ltnp 'sport = :${taken}' names it; or set LOOM_PORT`,
    );
  });

  test('prints JSON, and waits no longer than 2 s for a frozen Redis, or a port that never answers', async () => {
    server.freeze();
    const silent = createServer(() => {});
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const silentPort = (silent.address() as { port: number }).port;

    const { lines } = await home.loom(['doctor', '--json'], { ...ENVIRONMENT, LOOM_ADMIN_PORT: String(silentPort) });

    server.thaw();
    silent.closeAllConnections();
    silent.close();
    const findings = lines.map((line) => JSON.parse(line));
    expect(findings.filter(({ name }) => name === 'redis' || name === 'gateway')).toEqual([
      {
        name: 'redis',
        state: 'fail',
        said: expect.stringMatching(/answer/),
        mend: 'Start it: loom up; or set REDIS_URL',
        why: 'Without it nothing is edited, and events wait in the spool',
      },
      {
        name: 'gateway',
        state: 'fail',
        said: `nobody answers at http://127.0.0.1:${silentPort}/readyz`,
        mend: 'Start it: loom up; or set LOOM_ADMIN_PORT',
        why: 'Claude Code reaches the API by way of it',
      },
    ]);
  });
});
