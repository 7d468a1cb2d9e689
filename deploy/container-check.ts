import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis } from '@loom/shared/connection.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { until } from '@loom/shared/testing/until.ts';
import { type Engine, findEngine, NoEngineError, run } from './containers/engine.ts';
import { underLoad } from './containers/load.ts';
import { countOutcomes } from './containers/outcomes.ts';
import { findServices } from './up/services.ts';

const HELP = `Builds the image of each service, runs the compose stack against a scripted API, scales, swaps, and tears down.

usage: make containers      (or: node deploy/container-check.ts)

  LOOM_BASE_IMAGE        an image with Node 24 and npm     node:24-bookworm-slim
  LOOM_REDIS_IMAGE       an image with redis-server        redis:7.4-bookworm
  NPM_CONFIG_REGISTRY    where packages come from          npm's own

exit code: 0 all went well, 1 something did not, 2 no container engine is at hand
`;

const ROOT = join(import.meta.dirname, '..');
const PROJECT = 'loom-check';
const READY = { withinMs: 120_000 };
const CALLERS = 8;
/** Requests that the swap happens among. */
const LOAD = 400;
const SERVICES = findServices(join(ROOT, 'services')).map(({ name }) => name);

const say = (line: string) => process.stdout.write(`${line}\n`);

async function build({ name: engine }: Engine): Promise<void> {
  const base = process.env['LOOM_BASE_IMAGE'];
  const options = [
    ...(base ? [`BASE=${base}`] : []),
    ...(process.env['NPM_CONFIG_REGISTRY'] ? ['NPM_CONFIG_REGISTRY'] : []),
  ];
  for (const service of SERVICES) {
    const args = [`SERVICE=${service}`, ...options].flatMap((option) => ['--build-arg', option]);
    // Podman's own format has no health checks.
    const env = { ...process.env, BUILDAH_FORMAT: 'docker' };
    await run([engine, 'build', '-f', 'deploy/Dockerfile', ...args, '-t', `loom-${service}`, '.'], { cwd: ROOT, env });
    const size = await run([engine, 'image', 'inspect', '--format', '{{.Size}}', `loom-${service}`]);
    say(`built loom-${service}, ${Math.round(Number(size) / 1e6)} MB`);
  }
}

async function check({ name: engine, compose }: Engine): Promise<void> {
  const claude = mkdtempSync(join(tmpdir(), 'loom-claude-'));
  const [port, adminPort, redisPort] = [await freePort(), await freePort(), await freePort()];
  const env = {
    ...process.env,
    LOOM_PORT: String(port),
    LOOM_ADMIN_PORT: String(adminPort),
    LOOM_REDIS_PORT: String(redisPort),
    LOOM_UPSTREAM_URL: 'http://127.0.0.1:9000',
    // It is the swap that may lose an answer, not a busy machine.
    LOOM_INTRO_HOLD_MS: '10000',
    CLAUDE_DATA_DIR: claude,
  };
  const files = ['-f', 'docker-compose.yml', '-f', 'deploy/containers/compose.yml'];
  const composed = (...words: string[]) => run([...compose, '-p', PROJECT, ...files, ...words], { cwd: ROOT, env });
  const up = (...words: string[]) => composed('up', '-d', '--no-build', ...words);
  const connections: ReturnType<typeof connectRedis>[] = [];
  const connectAs = async (user: string) => {
    const password = await composed('run', '--rm', '--no-deps', 'users', 'cat', `/users/${user}/password`);
    const redis = connectRedis(`redis://${user}:${password.trim()}@127.0.0.1:${redisPort}`, 'patient');
    redis.on('error', () => {});
    connections.push(redis);
    return redis;
  };
  const url = `http://127.0.0.1:${port}`;
  try {
    await up();
    const [redis, intro] = [await connectAs('operator'), await connectAs('intro')];
    const replicas = async (service: string) => {
      const [, keys] = await redis.scan(0, 'MATCH', `loom:service:${service}:*`, 'COUNT', 100_000);
      return keys.length;
    };
    for (const service of SERVICES.filter((name) => name !== 'gateway'))
      await until(async () => (await replicas(service)) === 1, READY);
    say(`up: ${SERVICES.join(', ')}`);

    const remember = (session: string, memorable: string) => intro.rpush(`intro:memorables:${session}`, memorable);
    let serial = 0;
    await until(async () => {
      const session = `first-${++serial}`;
      await remember(session, 'the blue door');
      return (await ask(url, session)).includes('the blue door');
    }, READY);
    say('a request went through, with an edit');
    const metrics = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
    if (!metrics.includes('loom_')) throw new Error(`expected metrics on the admin port, got ${metrics.slice(0, 200)}`);
    await until(async () => (await unhealthy(composed)).length === 0, READY);
    say('every health check is content, and the admin port answers here');

    await up('--no-recreate', '--scale', 'transcript-watcher=3', 'transcript-watcher');
    await until(async () => (await replicas('transcript-watcher')) === 3, READY);
    say('transcript-watcher runs three times');

    const [old = ''] = (await composed('ps', '-q', 'intro-injector')).split('\n');
    let answered = 0;
    const call = async (session: string) => {
      await remember(session, `a moment of ${session}`);
      await ask(url, session);
      answered += 1;
    };
    await underLoad('load', CALLERS, call, async () => {
      await up('--no-recreate', '--scale', 'intro-injector=2', 'intro-injector');
      await until(async () => (await replicas('intro-injector')) === 2, READY);
      await run([engine, 'stop', old]);
      await until(async () => (await replicas('intro-injector')) === 1, READY);
      await until(() => answered >= LOAD, READY);
    });
    const { applied = 0, none = 0, error = 0, ...unanswered } = await countOutcomes(redis, 'load-');
    const lost = Object.values(unanswered).reduce((sum, count) => sum + count, 0);
    const asked = applied + none + error + lost;
    say(`intro-injector was replaced under load: of ${asked} requests it answered all but ${lost}, and none failed`);
    if (lost > asked / 100) throw new Error(`expected one in a hundred at most, got ${JSON.stringify(unanswered)}`);
  } finally {
    for (const connection of connections) connection.disconnect();
    // What went wrong before matters more.
    await composed('down', '--volumes', '--remove-orphans').then(
      () => say('torn down'),
      (error: Error) => say(`not torn down: ${error.message}`),
    );
    rmSync(claude, { recursive: true });
  }
}

/** The services whose health check does not say that they live. */
async function unhealthy(composed: (...words: string[]) => Promise<string>): Promise<string[]> {
  const lines = (await composed('ps', '--format', 'json')).trim().split('\n');
  // Compose before 2.21 writes one list, later ones an object a line.
  const containers = lines.flatMap((line) => JSON.parse(line) as { Service: string; Health: string }[]);
  const found = containers.filter(({ Service, Health }) => Service !== 'upstream' && Health !== 'healthy');
  return found.map(({ Service }) => Service);
}

/** Sends a prompt; resolves to the answer, which quotes what went upstream. */
async function ask(url: string, session: string): Promise<string> {
  const response = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-claude-code-session-id': session,
      'x-claude-code-request-class': 'main',
      'x-loom-profile': 'alpha',
    },
    body: JSON.stringify({ model: 'scripted', messages: [{ role: 'user', content: 'Hello.' }] }),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`expected an answer, got ${response.status}: ${answer}`);
  return answer;
}

if (process.argv.includes('--help')) {
  process.stdout.write(HELP);
} else {
  try {
    const engine = findEngine();
    await build(engine);
    await check(engine);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = error instanceof NoEngineError ? 2 : 1;
  }
}
