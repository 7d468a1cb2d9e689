import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { CommonConfig, loadConfig } from '@loom/shared/config.ts';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { aclOf, writeUsers } from '../redis/acl.ts';
import { findServices } from '../up/services.ts';
import { startGuardedRedis } from './guarded-redis.ts';

const redis = await startGuardedRedis();
const dev = await startGuardedRedis('{dev}');
const folder = mkdtempSync(join(tmpdir(), 'loom-acl-'));
afterAll(async () => {
  await Promise.all([redis.close(), dev.close()]);
  rmSync(folder, { recursive: true });
});

const DEPLOY = join(import.meta.dirname, '..');
const SERVICES = findServices(join(DEPLOY, '../services')).map(({ name }) => name);

/** What nobody but the machine's own operator has any business with. */
const FOR_NOBODY = [
  'FLUSHALL',
  'FLUSHDB',
  'KEYS *',
  'CONFIG GET *',
  'CONFIG SET maxmemory 1',
  'ACL LIST',
  'ACL SETUSER gateway +@all',
  'CLIENT KILL TYPE normal',
  'CLIENT LIST',
  'SHUTDOWN NOSAVE',
  'REPLICAOF 127.0.0.1 1',
  'SCRIPT FLUSH',
  'FUNCTION FLUSH',
  'MONITOR',
  'SAVE',
  'SWAPDB 0 1',
  'SET other:key 1',
  'GET other:key',
  'DEL other:key',
  'RENAME loom:requests loom:gone',
  'DEL loom:requests',
  'PUBLISH other 1',
];

/** What a gateway needs to keep the streams, and nobody else. */
const FOR_GATEWAYS = ['XTRIM loom:requests MAXLEN 0', 'SET loom:streams-kept a'];

/** What each user is refused, though another one needs it. */
const FOR_OTHERS: Record<string, string[]> = {
  gateway: [
    'XREADGROUP GROUP intro-injector a STREAMS loom:requests >',
    'XRANGE loom:requests - +',
    'XADD loom:turns * a b',
    'XADD loom:transcripts * a b',
    'XADD loom:dead-letters * a b',
    'HSET loom:rewriters a b',
    'SET loom:rewriter:intro-injector a',
    'SET loom:service:intro-injector:a b',
    'LRANGE intro:memorables:s 0 -1',
    'RPUSH intro:memorables:s a',
    'GET loom:compaction:s',
    'HGETALL loom:turn:t',
    'XTRIM loom:dead-letters MAXLEN 0',
    'XTRIM loom:edits:g MAXLEN 0',
    'EVAL return(1) 1 loom:ledger:s',
    'GET loom:service:intro-injector:a',
    'SCAN 0',
  ],
  'compact-rewriter': [
    'XADD loom:requests * a b',
    'XADD loom:responses * a b',
    'XREADGROUP GROUP compact-rewriter a STREAMS loom:responses >',
    'XREAD STREAMS loom:edits:g 0',
    'XDEL loom:dead-letters 1-1',
    'HGETALL loom:session:s',
    'HGETALL loom:ledger:s',
    'SET loom:rewriter:intro-injector a',
    'LRANGE intro:memorables:s 0 -1',
    'RPUSH intro:memorables:s a',
    'EVAL return(1) 1 loom:ledger:s',
    'PUBLISH transcript:s a',
    'SCAN 0',
  ],
  'intro-injector': [
    'RPUSH intro:memorables:s a',
    'LPOP intro:memorables:s',
    'LTRIM intro:memorables:s 1 0',
    'DEL intro:memorables:s',
    'EXPIRE intro:memorables:s 1',
    'HSET intro:memorables:s a b',
    'XADD loom:requests * a b',
    'XREADGROUP GROUP intro-injector a STREAMS loom:captures >',
    'HSET loom:ledger:s a b',
    'GET loom:compaction:s',
    'SET loom:rewriter:compact-rewriter a',
    'PUBLISH transcript:s a',
    'SCAN 0',
  ],
  'transcript-watcher': [
    'XADD loom:requests * a b',
    'XADD loom:edits:g * a b',
    'XADD loom:turns * a b',
    'XREADGROUP GROUP transcript-watcher a STREAMS loom:responses >',
    'XRANGE loom:captures - +',
    'HGETALL loom:ledger:s',
    'LRANGE intro:memorables:s 0 -1',
    'RPUSH intro:memorables:s a',
    'DEL loom:bull:turn-end:meta',
    'HSET loom:bull:turn-export:meta a b',
    'SORT loom:bull:watch:wait BY loom:ledger:*',
    'SCAN 0',
  ],
  'trace-grouper': [
    'XADD loom:requests * a b',
    'XADD loom:edits:g * a b',
    'XADD loom:transcripts * a b',
    'SET loom:service:gateway:g a',
    'SET loom:gateway-left:g a',
    'GET quota:q',
    'HGETALL loom:ledger:s',
    'HSET loom:watched:s a b',
    'LRANGE intro:memorables:s 0 -1',
    'RPUSH intro:memorables:s a',
    'HSET loom:bull:watch:meta a b',
    'PUBLISH transcript:s a',
    'SCAN 0',
  ],
  operator: [
    'SET loom:service:gateway:g a',
    'HSET loom:ledger:s a b',
    'HSET loom:rewriters a b',
    'XADD loom:dead-letters * a b',
    'XDEL loom:requests 1-1',
    'XGROUP DESTROY loom:requests intro-injector',
    'XACK loom:requests intro-injector 1-1',
    'DEL loom:dead-letters',
    'RPUSH intro:memorables:s a',
    'LRANGE intro:memorables:s 0 -1',
    'EVAL return(1) 0',
  ],
  intro: [
    'XRANGE loom:requests - +',
    'XADD loom:requests * a b',
    'HGETALL loom:ledger:s',
    'SET quota:q a',
    'SUBSCRIBE other',
    'PSUBSCRIBE *',
    'PUBLISH transcript:s a',
    'EVAL return(1) 0',
  ],
};

/** What a user needs only on a bad day, or that a test of the whole stack has no use for. */
const ALLOWED: Record<string, string[]> = {
  gateway: [
    'XDEL loom:edits:g 1-1',
    'EXPIRE loom:edits:g 1',
    'SET loom:gateway-left:g {} EX 1',
    'HMGET loom:ledger:s a',
    'XTRIM loom:transcripts MINID ~ 1-1 LIMIT 10',
    'XGROUP DELCONSUMER loom:captures g c',
    'XPENDING loom:turns g - + 1',
    'EVAL return(1) 1 loom:alerts',
    'EXISTS loom:service:scribe:a',
  ],
  'compact-rewriter': ['XCLAIM loom:requests g c 0 1-1', 'XRANGE loom:requests 1-1 1-1', 'CLIENT UNBLOCK 999'],
  'intro-injector': [
    'XCLAIM loom:responses g c 0 1-1',
    'LLEN intro:memorables:s',
    'LINDEX intro:memorables:s -1',
    'XADD loom:alerts * a b',
  ],
  'transcript-watcher': ['XCLAIM loom:requests g c 0 1-1', 'RENAME loom:bull:watch:a loom:bull:watch:b'],
  'trace-grouper': [
    'XCLAIM loom:transcripts g c 0 1-1',
    'SETEX quota:q 60 {}',
    'XADD loom:alerts * a b',
    'RENAME loom:bull:turn-end:a loom:bull:turn-end:b',
  ],
  operator: ['SCAN 0', 'XADD loom:requests * a b', 'HGETALL loom:ledger:s', 'INFO memory', 'XINFO STREAM loom:alerts'],
  intro: ['RPUSH intro:memorables:s a', 'DEL intro:memorables:s', 'SCAN 0', 'GET quota:q', 'PSUBSCRIBE transcript:*'],
};

/** Which of these commands Redis does not let the user run; what else it says of them does not matter. */
async function refused(user: string, commands: string[]): Promise<string[]> {
  const client = redis.client(user);
  const refusals: string[] = [];
  for (const command of commands) {
    const [name = '', ...words] = command.split(' ');
    const said = await client.call(name, ...words).then(
      () => '',
      (error: Error) => error.message,
    );
    if (said.startsWith('NOPERM')) refusals.push(command);
  }
  return refusals;
}

describe('users.acl', () => {
  test('has a user for each service', () => {
    expect(SERVICES.filter((name) => !(name in FOR_OTHERS))).toEqual([]);
  });

  test('gives nobody all keys, all channels, all commands or a dangerous one, as Redis has understood it', async () => {
    const users = (await redis.tester.call('ACL', 'LIST')) as string[];
    const own = users.filter((user) => !user.startsWith('user tester ') && !user.startsWith('user default '));

    expect(own.map((user) => user.split(' ')[1]).sort()).toEqual(Object.keys(FOR_OTHERS).sort());
    for (const user of own) {
      expect(user).not.toMatch(
        /(allkeys|~\*|%\w+~\*|allchannels|&\*|\+@all|\+@(admin|dangerous|scripting|write)|nopass)(?![\w:])/,
      );
      expect(user).toMatch(/ -@all /);
    }
  });

  test.each(Object.keys(FOR_OTHERS))('refuses %s what nobody needs, and what is for others', async (user) => {
    const forGateways = user === 'gateway' ? [] : FOR_GATEWAYS;
    const commands = [...FOR_NOBODY, ...forGateways, ...(FOR_OTHERS[user] as string[])];

    expect(await refused(user, commands)).toEqual(commands);
  });

  test.each(Object.entries(ALLOWED))('lets %s do what it needs on a bad day', async (user, commands) => {
    expect(await refused(user, commands)).toEqual([]);
  });

  test('lets the injector read the memorables by a script, in which it may write nothing', async () => {
    await redis.tester.rpush('intro:memorables:read', 'the blue door');
    const client = redis.client('intro-injector');
    const run = (script: string) => client.eval(script, 1, 'intro:memorables:read');

    expect(await run("return redis.call('LINDEX', KEYS[1], 0)")).toBe('the blue door');
    await expect(run("return redis.call('RPUSH', KEYS[1], 'mine')")).rejects.toThrow("can't run this command");
    await expect(run("return redis.call('HSET', KEYS[1], 'a', 'b')")).rejects.toThrow("can't access at least one");
  });

  test('knows nobody without a name, and nobody by a wrong password', async () => {
    const stranger = redis.connect(redis.environmentOf('gateway').REDIS_URL);

    await expect(stranger.get('loom:a')).rejects.toThrow('NOAUTH');
    await expect(redis.tester.call('AUTH', 'gateway', 'guessed')).rejects.toThrow('WRONGPASS');
  });

  test('is of the prefix that is set, and of no other', async () => {
    const client = dev.client('gateway');

    expect(await client.hgetall('{dev}:session:s')).toEqual({});
    await expect(client.hgetall('loom:session:s')).rejects.toThrow('NOPERM');
  });
});

describe('loom-health', () => {
  test('asks as each service itself', async () => {
    await redis.tester.set(`loom:service:intro-injector:intro-injector-${hostname()}-1`, '{}');
    for (const place of ['bin', 'deploy/systemd']) mkdirSync(join(folder, 'installed', place), { recursive: true });
    const at = (path: string) => join(folder, 'installed', path);
    symlinkSync(process.execPath, at('bin/node'));
    symlinkSync(join(DEPLOY, 'healthcheck.ts'), at('deploy/healthcheck.ts'));
    copyFileSync(join(DEPLOY, 'systemd/loom-health'), at('deploy/systemd/loom-health'));
    const units = ['intro-injector', 'compact-rewriter'].map((name) => `echo loom@${name}.service`).join('; ');
    const systemctl = `#!/bin/sh\ncase $1 in list-units) ${units} ;; show) echo 1 ;; esac\n`;
    writeFileSync(at('bin/systemctl'), systemctl, { mode: 0o755 });

    const { REDIS_URL } = redis.environmentOf('intro-injector');
    const env = { ...PASSED_ON, PATH: `${at('bin')}:${process.env['PATH']}`, REDIS_URL, LOOM_USERS: redis.users };
    const said = execFileSync('sh', [at('deploy/systemd/loom-health'), '0'], { encoding: 'utf8', env });

    // Of a Redis that refused to answer it would say nothing.
    expect(said).toBe('compact-rewriter runs but is dead: restarted\n');
  });
});

describe('acl.ts', () => {
  test('makes passwords once, each its own and for its owner alone, and keeps them', () => {
    const place = join(folder, 'private');
    const users = ['gateway', 'operator'].map((user) => join(place, user, 'password'));
    const read = () => [...users, join(place, 'redis/users.acl')].map((path) => readFileSync(path, 'utf8'));

    writeUsers(place, { prefix: 'loom', readable: false });
    const made = read();
    writeUsers(place, { prefix: 'loom', readable: false });

    expect(read()).toEqual(made);
    expect(made[0]).toMatch(/^[\w-]{43}\n$/);
    expect(made[0]).not.toBe(made[1]);
    expect(made[2]).not.toContain(made[0]?.trim());
    expect(users.map((path) => statSync(path).mode & 0o777)).toEqual([0o600, 0o600]);
    expect(statSync(join(place, 'gateway')).mode & 0o777).toBe(0o700);
  });

  test('makes a password anew that is lost or empty, and files for all to read where that is asked', () => {
    const place = join(folder, 'shared');
    const path = join(place, 'gateway/password');
    writeUsers(place, { prefix: 'loom', readable: true });
    const mode = statSync(path).mode & 0o777;
    writeFileSync(path, '\n');

    writeUsers(place, { prefix: 'loom', readable: true });

    expect(mode).toBe(0o644);
    expect(readFileSync(path, 'utf8')).toMatch(/^[\w-]{43}\n$/);
  });

  test('joins the lines of a user, and puts prefix and hash in', () => {
    const template =
      '# a comment\nuser default off\n\nuser a on\n  # why\n  +get (+set %W~loom:x\n    ~loom:y) ~intro:z\n';

    expect(aclOf(template, 'dev', (user) => `password of ${user}`)).toBe(
      'user default off\nuser a on #8a559549d48260c36a4bb5812137e64c13f241c58f3913d6a55477d01a79b481 +get (+set %W~dev:x ~dev:y) ~intro:z\n',
    );
  });
});

describe('REDIS_USERNAME and REDIS_PASSWORD_FILE', () => {
  const file = join(folder, 'password');
  writeFileSync(file, ' p@ss:w/rd% \n');
  const urlOf = (environment: Record<string, string>) => loadConfig(CommonConfig, environment).REDIS_URL;

  test('win over what the URL says', () => {
    const settings = { REDIS_USERNAME: 'gateway', REDIS_PASSWORD_FILE: file };

    expect(urlOf({ ...settings, REDIS_URL: 'rediss://a:b@redis:6380/1' })).toBe(
      'rediss://gateway:p%40ss%3Aw%2Frd%25@redis:6380/1',
    );
    expect(urlOf(settings)).toBe('redis://gateway:p%40ss%3Aw%2Frd%25@127.0.0.1:6379');
    expect(urlOf({ ...settings, REDIS_URL: 'unix:///run/redis.sock' })).toBe(
      'unix:///run/redis.sock?username=gateway&password=p%40ss%3Aw%2Frd%25',
    );
  });

  test('leave the URL its own where they are unset or empty', () => {
    expect(urlOf({ REDIS_URL: 'redis://a:b@redis', REDIS_USERNAME: '', REDIS_PASSWORD_FILE: '' })).toBe(
      'redis://a:b@redis',
    );
    expect(urlOf({ REDIS_URL: 'redis://a:b@redis', REDIS_USERNAME: 'c' })).toBe('redis://c:b@redis');
  });

  test('say which file holds no password', () => {
    const empty = join(folder, 'empty');
    writeFileSync(empty, '\n');
    const complaint = 'these settings are wrong:\n  REDIS_PASSWORD_FILE: expected a file with a password, got';

    expect(() => urlOf({ REDIS_PASSWORD_FILE: `${file}.none` })).toThrow(
      `${complaint} ENOENT at ${JSON.stringify(`${file}.none`)}`,
    );
    expect(() => urlOf({ REDIS_PASSWORD_FILE: empty })).toThrow(
      `${complaint} an empty one at ${JSON.stringify(empty)}`,
    );
  });

  test('reach a Redis whose password is anything at all', async () => {
    await redis.tester.call('ACL', 'SETUSER', 'odd', 'on', '>p@ss:w/rd%', '+acl|whoami', '+info');
    const url = urlOf({ ...redis.environmentOf('odd'), REDIS_PASSWORD_FILE: file });
    const odd = redis.connect(url);

    expect(await odd.call('ACL', 'WHOAMI')).toBe('odd');
  });
});
