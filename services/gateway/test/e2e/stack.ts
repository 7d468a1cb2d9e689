import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EventType, LoomEvent } from '@loom/shared/event.ts';
import { EventReader } from '@loom/shared/testing/event-reader.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream, type Upstream } from '@loom/shared/testing/upstream.ts';
import type { Redis } from 'ioredis';
import { respond } from './model.ts';
import { PROMPTS } from './prompts.ts';
import { ServiceProcess } from './service-process.ts';

/** The whole of Loom, each service a process of its own, between a simulated client and a scripted upstream. */
export interface Stack {
  /** Keeps what it has when it is killed (AOF). */
  readonly redis: RedisServer;
  readonly client: Redis;
  readonly upstream: Upstream;
  readonly gateway: ServiceProcess;
  readonly compactRewriter: ServiceProcess;
  readonly introInjector: ServiceProcess;
  /** The settings of all services; a change counts from each one's next start. */
  readonly environment: Record<string, string>;
  /** Where clients connect; another port after each start of the gateway. */
  readonly url: string;
  /** Starts Redis again; resolves when it answers. */
  startRedis(): Promise<void>;
  /** Waits until Redis answers the gateway, both rewriters are alive to it, and its spool is empty. */
  ready(): Promise<void>;
  /** Waits until the gateway knows that this service is not there. */
  missed(service: ServiceProcess): Promise<void>;
  /** Writes one of the profile's prompts anew. */
  editPrompt(name: keyof typeof PROMPTS, text: string): Promise<void>;
  /** The events of a type that are on its stream now. */
  events<Type extends EventType>(type: Type): Promise<LoomEvent<Type>[]>;
  /** Ends every process and removes every file. */
  close(): Promise<void>;
}

/**
 * Starts Redis, the upstream, the gateway and both rewriters, and waits until all know each other.
 *
 * @param settings for all services, over what the stack sets itself
 */
export async function startStack(settings: Record<string, string> = {}): Promise<Stack> {
  const [redis, upstream] = await Promise.all([startRedis({ aof: true }), startUpstream(respond)]);
  const client = redis.client();
  const reader = new EventReader(client);
  // The kernel keeps what a killed process has written; waiting for the disk would only make the machine's load the test's.
  const spareDisk = () => client.config('SET', 'appendfsync', 'no');
  await spareDisk();
  const state = await mkdtemp(join(tmpdir(), 'loom-e2e-'));
  const alpha = join(state, 'prompts', 'alpha');
  await cp(fileURLToPath(new URL('../../../../deploy/prompts/alpha', import.meta.url)), alpha, { recursive: true });
  const editPrompt = (name: string, text: string) => writeFile(join(alpha, `${name}.md`), text);
  for (const [name, text] of Object.entries(PROMPTS)) await editPrompt(name, text);

  const environment = { REDIS_URL: redis.url, LOG_LEVEL: 'info', ...settings };
  let ports = { LOOM_PORT: '', LOOM_ADMIN_PORT: '' };
  const gateway = new ServiceProcess('gateway', async () => {
    ports = { LOOM_PORT: String(await freePort()), LOOM_ADMIN_PORT: String(await freePort()) };
    // As long as a busy machine has Redis take, as is the injector's hold.
    const patience = { LOOM_READ_MS: '1000' };
    const own = { LOOM_UPSTREAM_URL: upstream.url, LOOM_SPOOL_DIR: join(state, 'spool'), ...ports };
    return { ...own, ...patience, ...environment };
  });
  const compactRewriter = new ServiceProcess('compact-rewriter', async () => ({
    LOOM_PROMPTS_DIR: join(state, 'prompts'),
    LOOM_HUMAN: 'Sam',
    ...environment,
  }));
  // Far longer than a busy machine takes: what is asked for is answered, however slow the day.
  const introInjector = new ServiceProcess('intro-injector', async () => ({
    LOOM_INTRO_HOLD_MS: '10000',
    ...environment,
  }));
  const services = [gateway, compactRewriter, introInjector];

  const readiness = async () => {
    const response = await fetch(`http://127.0.0.1:${ports.LOOM_ADMIN_PORT}/readyz`);
    return (await response.json()) as { status: string; reasons: string[] };
  };
  const stack: Stack = {
    redis,
    client,
    upstream,
    gateway,
    compactRewriter,
    introInjector,
    environment,
    get url() {
      return `http://127.0.0.1:${ports.LOOM_PORT}`;
    },
    async startRedis() {
      await redis.start();
      await spareDisk();
    },
    async ready() {
      await until(async () => (await readiness()).reasons.join() === '');
    },
    async missed({ name }) {
      await until(async () => (await readiness()).reasons.some((reason) => reason.startsWith(name)));
    },
    editPrompt,
    async events<Type extends EventType>(type: Type): Promise<LoomEvent<Type>[]> {
      return reader.of(type);
    },
    async close() {
      await Promise.all(services.map((service) => service.kill()));
      await upstream.close();
      await redis.close();
      await rm(state, { recursive: true, force: true });
    },
  };
  try {
    await Promise.all(services.map((service) => service.start()));
    await stack.ready();
  } catch (error) {
    await stack.close();
    throw error;
  }
  return stack;
}
