import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

const HELP = `Makes the users of Loom's Redis: a password for each, once, and the file that Redis reads them from.

usage: node deploy/redis/acl.ts --folder <folder> [--readable]

  --folder <folder>  gets <user>/password, and redis/users.acl for redis-server --aclfile
  --readable         for all to read: where each reader is shown its own part of the folder alone
  LOOM_KEY_PREFIX    of all keys in Redis                   loom

A password that is there stays. Who may do what is in users.acl beside this program.
`;

const TEMPLATE = join(import.meta.dirname, 'users.acl');

/**
 * The lines of an ACL file, one a user, from the template's.
 *
 * @param prefix stands in the place of `loom` before keys
 * @param passwordOf asked for each user that is on
 *
 * @example
 * aclOf('user a on\n  # why\n  +get ~loom:x', 'dev', () => 'pw'); // 'user a on #30c952fab1… +get ~dev:x\n'
 */
export function aclOf(template: string, prefix: string, passwordOf: (user: string) => string): string {
  const users = template
    .split('\n')
    .filter((line) => !/^\s*(#|$)/.test(line))
    .join('\n')
    .replace(/\n\s+/g, ' ')
    .replaceAll('~loom:', () => `~${prefix}:`)
    // Redis keeps a hash, and who reads the file learns no password.
    .replace(/^user (\S+) on\b/gm, (start, user: string) => `${start} #${sha256(passwordOf(user))}`);
  return `${users}\n`;
}

/**
 * Makes what is missing below a folder: `<user>/password` for each user that is on, and `redis/users.acl`. Files are
 * their owner's alone; each is replaced as a whole or not at all.
 *
 * @param readable for all to read
 */
export function writeUsers(folder: string, { prefix, readable }: { prefix: string; readable: boolean }): void {
  const write = (path: string, content: string) => {
    mkdirSync(dirname(path), { recursive: true, mode: readable ? 0o755 : 0o700 });
    const draft = `${path}.new`;
    writeFileSync(draft, content, { mode: 0o600 });
    if (readable) chmodSync(draft, 0o644);
    renameSync(draft, path);
  };
  const passwordOf = (user: string) => {
    const path = join(folder, user, 'password');
    const known = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
    if (known !== '') return known;
    const password = randomBytes(32).toString('base64url');
    write(path, `${password}\n`);
    return password;
  };
  write(join(folder, 'redis/users.acl'), aclOf(readFileSync(TEMPLATE, 'utf8'), prefix, passwordOf));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

if (process.argv[1] === import.meta.filename) {
  const { folder, readable, help } = parseArgs({
    options: {
      folder: { type: 'string' },
      readable: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    },
  }).values;
  if (help || folder === undefined) process.stdout.write(HELP);
  else writeUsers(folder, { prefix: process.env['LOOM_KEY_PREFIX'] || 'loom', readable });
  if (!help && folder === undefined) process.exitCode = 1;
}
