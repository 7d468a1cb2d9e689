import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

/** A redis-server of the test's own. Every method may be called in any state; `close` is for `afterAll`. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** A new connection with ioredis' defaults, closed by `close`. */
  client(): Redis;
  /** SIGTERM: Redis saves what it is configured to save. */
  stop(): Promise<void>;
  /** SIGKILL: as when the power goes. */
  kill(): Promise<void>;
  /** Again on the same port and data folder; resolves when PING is answered. */
  start(): Promise<void>;
  /** SIGSTOP: connections stay open, nothing is answered. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL and again, with nothing of what it had. */
  empty(): Promise<void>;
  /** Ends the server and its clients and removes the data folder. */
  close(): Promise<void>;
}

/** Where `make users` has the users of Loom's Redis; unset where services are nobody there, who may do everything. */
const USERS = process.env['LOOM_TEST_USERS'];

/** What a service finds in its environment to be its own user, where there are users. */
export function userEnvironment(name: string): Record<string, string> {
  return USERS ? { REDIS_USERNAME: name, REDIS_PASSWORD_FILE: join(USERS, name, 'password') } : {};
}

/**
 * Starts a redis-server on a free loopback port with its data in a temporary folder; resolves when PING is answered.
 *
 * @param aof keeps what was written over `kill` and `start` (`appendfsync always`); default false: it comes back empty
 *
 * @example
 * const server = await startRedis({ aof: true });
 * afterAll(() => server.close());
 */
export async function startRedis({ aof = false }: { aof?: boolean } = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'loom-redis-'));
  const port = await freePort();
  const clients = new Set<Redis>();
  let child: ChildProcess | undefined;
  const acl = USERS ? ['--aclfile', await writeUsers(USERS, folder)] : [];

  const start = async () => {
    if (child) return;
    const durability = ['--save', '', '--appendonly', aof ? 'yes' : 'no', '--appendfsync', 'always'];
    const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
    const started = spawn('redis-server', [...place, ...durability, ...acl, '--daemonize', 'no'], { stdio: 'ignore' });
    await once(started, 'spawn');
    child = started;
    started.once('exit', () => {
      if (child === started) child = undefined;
    });
    const exited = once(started, 'exit').then(([code]) => {
      throw new Error(`expected redis-server to listen on port ${port}, got exit code ${code}`);
    });
    await Promise.race([answersPing(port), exited]);
    // From here on an exit is what the test asks for.
    exited.catch(() => {});
  };
  const end = async (signal: NodeJS.Signals) => {
    if (!child) return;
    const exited = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill(signal);
    await exited;
  };

  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    client() {
      const client = quietClient(port);
      clients.add(client);
      return client;
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    start,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async empty() {
      await end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder);
      await start();
    },
    async close() {
      const refusals = USERS && child && !child.signalCode ? await readRefusals(port) : [];
      for (const client of clients) client.disconnect();
      await end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
      if (refusals.length > 0) throw new Error(`expected Redis to refuse nothing, got ${refusals.join(', ')}`);
    },
  };
}

/**
 * Loom's users, with the same rights under the prefixes of tests that have their own, `t` and `{…}`; and beside them the
 * test itself, without a name, who may do everything.
 */
async function writeUsers(users: string, folder: string): Promise<string> {
  const file = join(folder, 'users.acl');
  const template = await readFile(join(users, 'redis/users.acl'), 'utf8');
  const acl = template
    .replaceAll(/(%[RW]+|)~loom:([^\s)]+)/g, '$1~loom:$2 $1~t:$2 $1~{*}:$2')
    .replace(/^user default off$/m, 'user default on nopass ~* &* +@all');
  await writeFile(file, acl);
  return file;
}

/** What Redis has refused since it started: command or key, and to whom. */
async function readRefusals(port: number): Promise<string[]> {
  const client = quietClient(port);
  const log = (await client.call('ACL', 'LOG')) as unknown[][];
  client.disconnect();
  return log.map((entry) => `${entry[entry.indexOf('object') + 1]} to ${entry[entry.indexOf('username') + 1]}`);
}

async function answersPing(port: number): Promise<void> {
  const client = quietClient(port);
  try {
    await until(async () => (await client.ping()) === 'PONG');
  } finally {
    client.disconnect();
  }
}

function quietClient(port: number): Redis {
  const client = new Redis({
    port,
    host: '127.0.0.1',
    retryStrategy: () => 50,
    maxRetriesPerRequest: null,
  });
  // ioredis prints errors that nobody listens to; here a lost connection is what the test is about.
  client.on('error', () => {});
  return client;
}
