import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@loom/shared/config.ts';
import { connectRedis } from '@loom/shared/connection.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { until } from '@loom/shared/testing/until.ts';
import { writeUsers } from '../redis/acl.ts';
import { Settings } from '../up/settings.ts';

type Redis = ReturnType<typeof connectRedis>;

/** A redis-server that knows Loom's users, and nobody else but the test. */
export interface GuardedRedis {
  /** Folder of the passwords, as acl.ts makes it. */
  readonly users: string;
  /** The test's own connection, as a user who may do everything. */
  readonly tester: Redis;
  /** What a program finds in its environment to be that user. */
  environmentOf(user: string): { REDIS_URL: string; REDIS_USERNAME: string; REDIS_PASSWORD_FILE: string };
  /** A connection of that user, by the settings of its environment. */
  client(user: string): Redis;
  /** A connection by URL; closed, as all are, by `close`. */
  connect(url: string): Redis;
  close(): Promise<void>;
}

/** Starts a redis-server with the users of users.acl, on a free loopback port, its data in a temporary folder. */
export async function startGuardedRedis(prefix = 'loom'): Promise<GuardedRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'loom-guarded-'));
  const users = join(folder, 'users');
  const file = join(users, 'redis/users.acl');
  writeUsers(users, { prefix, readable: false });
  appendFileSync(file, `user tester on #${createHash('sha256').update('tester').digest('hex')} ~* &* +@all\n`);

  const port = await freePort();
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
  const server = spawn('redis-server', [...place, '--aclfile', file], { stdio: 'ignore' });
  const connections: Redis[] = [];
  const connect = (url: string) => {
    const connection = connectRedis(url, 'patient');
    // It is there as soon as the server is.
    connection.on('error', () => {});
    connections.push(connection);
    return connection;
  };
  const environmentOf = (user: string) => ({
    REDIS_URL: `redis://127.0.0.1:${port}`,
    REDIS_USERNAME: user,
    REDIS_PASSWORD_FILE: join(users, user, 'password'),
  });

  const tester = connect(`redis://tester:tester@127.0.0.1:${port}`);
  await until(async () => (await tester.ping()) === 'PONG');
  return {
    users,
    tester,
    environmentOf,
    connect,
    client: (user) => connect(loadConfig(Settings, environmentOf(user)).REDIS_URL as string),
    async close() {
      for (const connection of connections) connection.disconnect();
      const exited = once(server, 'exit');
      server.kill('SIGKILL');
      await exited;
      rmSync(folder, { recursive: true });
    },
  };
}
