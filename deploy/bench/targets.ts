import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { findServices } from '../up/services.ts';

const root = new URL('../../', import.meta.url).pathname;
/** What comes between `node` and the script in a service's start script. */
const START_OPTIONS = new Map(
  findServices(join(root, 'services')).map(({ name, command }) => [
    `services/${name}/src/main.ts`,
    command.slice(1, -1),
  ]),
);
/** As `make up`, the image and the systemd units have it: code is compiled once. */
const COMPILED = { NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/loom-bench') };
/** Of two cores the target has this one for itself; generator, upstream, Redis and rewriters share the other. */
const TARGET_CORE = '1';
const isPinned = availableParallelism() >= 2;

/** Something that requests are sent to. */
export interface Target {
  name: string;
  url: string;
  agent: http.Agent;
  /** Undefined for the upstream itself. */
  process: ChildProcess | undefined;
  pid: number;
}

export interface LoomTarget extends Target {
  redis: RedisServer;
  client: ReturnType<RedisServer['client']>;
  rewriters: ChildProcess[];
}

/** The processes that a bench starts; `close` ends them all. */
export class Targets {
  readonly #children: ChildProcess[] = [];
  readonly #redises: RedisServer[] = [];
  readonly #agents: http.Agent[] = [];
  readonly #folder: Promise<string> = mkdtemp(join(tmpdir(), 'loom-bench-'));

  /** Everything that is not what is measured. */
  start(script: string, args: string[] = [], environment: Record<string, string> = {}): ChildProcess {
    return this.#spawn([], script, args, environment);
  }

  /** Starts what prints the port that it listens on. */
  async startPrinting(name: string, script: string, args: string[] = [], isMeasured = true): Promise<Target> {
    const child = isMeasured ? this.#spawnMeasured(script, args, {}) : this.start(script, args);
    const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    const target = this.#target(name, `http://127.0.0.1:${line.toString().trim()}`, child);
    // Nobody listens to a question there.
    return isMeasured ? target : { ...target, process: undefined };
  }

  /** A Redis, both rewriters and a gateway that exports its telemetry to `collector` ('' for none). */
  async startLoom(name: string, upstream: string, collector: string, settings: Record<string, string> = {}) {
    const redis = await startRedis();
    this.#redises.push(redis);
    const [port, adminPort] = [await freePort(), await freePort()];
    const common = { REDIS_URL: redis.url, OTEL_EXPORTER_OTLP_ENDPOINT: collector };
    const rewriters = ['compact-rewriter', 'intro-injector'].map((service) =>
      this.start(`services/${service}/src/main.ts`, [], { ...common, OTEL_SERVICE_NAME: service }),
    );
    const gateway = this.#spawnMeasured('services/gateway/src/main.ts', [], {
      ...common,
      OTEL_SERVICE_NAME: 'gateway',
      LOOM_PORT: String(port),
      LOOM_ADMIN_PORT: String(adminPort),
      LOOM_UPSTREAM_URL: upstream,
      LOOM_SPOOL_DIR: join(await this.#folder, name),
      ...settings,
    });
    const target = this.#target(name, `http://127.0.0.1:${port}`, gateway);
    await until(async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok, { withinMs: 120_000 });
    return { ...target, redis, client: redis.client(), rewriters } satisfies LoomTarget;
  }

  async end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const impatience = setTimeout(() => {
      process.stderr.write(`process ${child.pid} did not end within 10 s of SIGTERM, and is killed\n`);
      child.kill('SIGKILL');
    }, 10_000);
    await exited;
    clearTimeout(impatience);
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) agent.destroy();
    // A Redis that is stopped would hold up those that take leave of it.
    for (const redis of this.#redises) redis.thaw();
    await Promise.all(this.#children.map((child) => this.end(child)));
    await Promise.all(this.#redises.map((redis) => redis.close()));
    await rm(await this.#folder, { recursive: true, force: true });
  }

  #target(name: string, url: string, child: ChildProcess): Target {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 512 });
    this.#agents.push(agent);
    return { name, url, agent, process: child, pid: child.pid as number };
  }

  #spawnMeasured(script: string, args: string[], environment: Record<string, string>): ChildProcess {
    const pin = isPinned ? ['taskset', '-c', TARGET_CORE] : [];
    return this.#spawn(pin, script, args, environment, ['--import', join(root, 'deploy/bench/loop-watch.ts')]);
  }

  #spawn(
    pin: string[],
    script: string,
    args: string[],
    environment: Record<string, string>,
    options: string[] = [],
  ): ChildProcess {
    const [command = '', ...rest] = [
      ...pin,
      process.execPath,
      ...options,
      ...(START_OPTIONS.get(script) ?? []),
      ...(process.env['BENCH_NODE_OPTIONS']?.split(' ') ?? []).filter(() => script.includes('gateway')),
      join(root, script),
      ...args,
    ];
    const child = spawn(command, rest, {
      cwd: root,
      env: { ...process.env, ...COMPILED, LOG_LEVEL: 'error', OTEL_EXPORTER_OTLP_ENDPOINT: '', ...environment },
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    child.channel?.unref();
    this.#children.push(child);
    return child;
  }
}

/** How long a target's event loop stopped at most since the last time that it was asked, milliseconds. */
export async function longestStopMs({ process: child }: Target): Promise<number> {
  const answered = once(child as ChildProcess, 'message');
  child?.send('stops?');
  const [stopMs] = (await answered) as [number];
  return stopMs;
}
