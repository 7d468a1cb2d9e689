import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { Installation } from '../systemd/installation.ts';
import { findServices } from '../up/services.ts';

const ROOT = join(import.meta.dirname, '../..');
const services = findServices(join(ROOT, 'services'));
const root = mkdtempSync(join(tmpdir(), 'loom-root-'));
const claude = join(root, 'srv/claude');
mkdirSync(claude, { recursive: true });
mkdirSync(join(root, 'etc/systemd/system/loom.target.wants'), { recursive: true });
writeFileSync(join(root, 'etc/systemd/system/other.service'), 'of somebody else\n');
const before = tree();
afterAll(() => rmSync(root, { recursive: true }));

const UNITS = join(root, 'etc/systemd/system');
const HOME = join(root, 'usr/local/lib/loom');
const LOOM = join(root, 'usr/local/bin/loom');
const SETTINGS = join(root, 'etc/loom/loom.env');

function run(program: 'install' | 'uninstall', ...words: string[]): string[] {
  const command = [join(ROOT, 'deploy', `${program}.ts`), '--destdir', root, ...words];
  const env = { ...PASSED_ON, CLAUDE_DATA_DIR: claude };
  return execFileSync(process.execPath, command, { encoding: 'utf8', env }).trimEnd().split('\n');
}

/** Every path below the root, with its mode and, of what is no folder, its size. */
function tree(): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [path, statSync(path, { throwIfNoEntry: false })] as const)
    .map(([path, stat]) => `${path} ${stat?.mode} ${stat?.isFile() ? stat.size : ''}`)
    .sort();
}

const said = run('install');

describe('make install', () => {
  test('says each thing that it does', () => {
    const starts = services.map(({ name }) => `loom.target starts loom@${name}`);
    const units = globSync(['*.{service,target,timer}', '*.d/*.conf'], { cwd: join(ROOT, 'deploy/systemd') }).sort();

    expect(said).toEqual([
      `copied Loom, its packages and Node ${process.version} to ${HOME}`,
      ...units.map((name) => `wrote ${join(UNITS, name)}`),
      ...starts,
      `wrote ${LOOM}`,
      `wrote ${SETTINGS}`,
    ]);
  });

  test.each(services)('puts all there that $name needs, and the unit starts it as its start script does', (service) => {
    const dropIns = globSync(`loom@${service.name}.service.d/*.conf`, { cwd: UNITS });
    const units = ['loom@.service', ...dropIns].map((name) => readFileSync(join(UNITS, name), 'utf8'));
    // The last one counts.
    const starts = units.flatMap((unit) => [...unit.matchAll(/^ExecStart=(.+)$/gm)].map(([, command]) => command));
    const [program = '', ...words] = starts.at(-1)?.split(' ') ?? [];
    const node = join(root, program);

    expect(['node', ...words]).toEqual(service.command);
    expect(readlinkSync(join(UNITS, `loom.target.wants/loom@${service.name}.service`))).toBe('../loom@.service');
    const help = spawnSync(node, [...words, '--help'], { cwd: join(HOME, 'services', service.name), encoding: 'utf8' });
    expect([help.status, help.stderr, help.stdout.split(':')[0]]).toEqual([0, '', service.name]);
  });

  test('makes the users of Redis where Redis and each service look for them', () => {
    const unit = (name: string) => readFileSync(join(UNITS, name), 'utf8');
    const [, program = '', words = '', folder = ''] =
      /^ExecStart=(\S+) (.*) --folder (.*)$/m.exec(unit('loom-users.service')) ?? [];
    const made = join(root, 'made');

    execFileSync(join(root, program), [join(root, words), '--folder', made]);

    const looked = [
      /--aclfile (\S+)/.exec(unit('loom-redis.service'))?.[1],
      ...services.map(({ name }) =>
        /^LoadCredential=redis:(.*)$/m.exec(unit('loom@.service'))?.[1]?.replace('%i', name),
      ),
    ];
    expect(looked.filter((path) => !statSync(path?.replace(folder, made) ?? '', { throwIfNoEntry: false }))).toEqual(
      [],
    );
    rmSync(made, { recursive: true });
  });

  test('puts a loom command there that needs nothing from elsewhere, and leaves nothing behind', () => {
    const installed = tree();
    // As it would be without DESTDIR.
    const command = join(root, 'loom');
    writeFileSync(command, readFileSync(LOOM, 'utf8').replaceAll('/usr/local/lib/loom', HOME), { mode: 0o755 });
    const run = (words: string[]) =>
      spawnSync(command, words, { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', HOME: root } });

    const [help, checked, up] = [run(['--help']), run(['doctor', '--json']), run(['up'])];

    expect([help.status, help.stdout.split('\n')[0]]).toEqual([0, 'Usage: loom [options] [command]']);
    expect(checked.stderr).toContain('REDIS_PASSWORD_FILE: expected a file with a password, got ENOENT');
    expect([up.status, up.stderr]).toEqual([
      1,
      'loom: make install has made services of it: systemctl start loom.target\n',
    ]);
    rmSync(command);
    expect(tree()).toEqual(installed);
  });

  test('leaves out what only development needs', () => {
    const left = ['typescript', 'jest', '@biomejs', 'fast-check'].filter((name) =>
      statSync(join(HOME, 'node_modules', name), { throwIfNoEntry: false }),
    );

    expect(left).toEqual([]);
    expect(globSync('{shared,services/*}/{test,src/testing}', { cwd: HOME })).toEqual([]);
  });

  test('shows the transcripts to the watcher alone, as their owner', () => {
    const owner = execFileSync('id', ['-nu', String(statSync(claude).uid)], { encoding: 'utf8' }).trim();
    const mention = globSync('**/*', { cwd: UNITS }).filter(
      (name) => statSync(join(UNITS, name)).isFile() && readFileSync(join(UNITS, name), 'utf8').includes(claude),
    );

    expect(mention).toEqual(['loom@transcript-watcher.service.d/claude.conf']);
    expect(
      readFileSync(join(UNITS, mention[0] as string), 'utf8')
        .split('\n')
        .slice(1),
    ).toEqual([
      '[Service]',
      `User=${owner}`,
      `Environment=CLAUDE_DATA_DIR=${claude}`,
      'ProtectHome=tmpfs',
      `BindReadOnlyPaths=${claude}`,
      '',
    ]);
  });

  const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;
  (hasSystemd ? test : test.skip)('writes units that systemd takes', () => {
    const units = join(root, 'verified');
    cpSync(UNITS, units, { recursive: true });
    for (const name of globSync(['loom*.{service,timer,target}', '*.d/*.conf'], { cwd: units })) {
      const text = readFileSync(join(units, name), 'utf8');
      writeFileSync(join(units, name), text.replaceAll('/usr/local/lib/loom', HOME));
    }
    const names = ['loom.target', 'loom-health.timer', ...services.map(({ name }) => `loom@${name}.service`)];

    const verified = spawnSync('systemd-analyze', ['verify', '--man=no', ...names], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], SYSTEMD_UNIT_PATH: `${units}:` },
    });

    rmSync(units, { recursive: true });
    expect(verified.stderr.split('\n').filter((line) => line.includes('loom'))).toEqual([]);
    expect(verified.status).toBe(0);
  });

  test('keeps settings that were changed, takes away what an earlier version had, and can be undone as before', () => {
    appendFileSync(SETTINGS, 'LOOM_HUMAN=Sam\n');
    const record = join(HOME, 'installed.json');
    const { made, settings } = JSON.parse(readFileSync(record, 'utf8'));
    const earlier = [join(UNITS, 'loom-old.service.d'), join(UNITS, 'loom-old.service.d/old.conf')];
    mkdirSync(earlier[0] as string);
    writeFileSync(earlier[1] as string, 'old\n');
    writeFileSync(record, JSON.stringify({ made: [...made, ...earlier], settings }));

    const again = run('install');

    expect(again.at(-1)).toBe(`kept ${SETTINGS}, which was changed`);
    expect(readFileSync(SETTINGS, 'utf8')).toMatch(/\nLOOM_HUMAN=Sam\n$/);
    expect(readdirSync(UNITS).filter((name) => name.includes('old'))).toEqual([]);
    expect(JSON.parse(readFileSync(record, 'utf8'))).toEqual({ made, settings });
  });
});

describe('make uninstall', () => {
  test('keeps settings that were changed and what the services kept, and with --purge takes them as well', () => {
    const [settings, state] = [join(root, 'etc/loom'), join(root, 'var/lib/loom')];
    mkdirSync(join(state, 'redis'), { recursive: true });

    expect(run('uninstall')).toEqual([
      `kept ${SETTINGS}, which was changed`,
      `removed ${HOME} and the units of Loom`,
      `kept ${settings}; make uninstall PURGE=1 takes it away as well`,
      `kept ${state}; make uninstall PURGE=1 takes it away as well`,
    ]);
    expect(run('uninstall', '--purge')).toEqual([
      `Loom is not installed in ${HOME}`,
      `removed ${settings}`,
      `removed ${state}`,
    ]);

    rmSync(join(root, 'var'), { recursive: true });
    expect(tree()).toEqual(before);
  });
});

describe('an installation', () => {
  test('that is removed leaves everything as it was, settings that nobody changed included', () => {
    const home = join(root, 'opt/small');
    const installation = new Installation(home, () => {});
    installation.copyFolder(join(ROOT, 'deploy/prompts'), join(home, 'prompts'), /^$/);
    installation.link(join(home, 'link'), 'prompts');
    installation.writeSettings(join(root, 'etc/small/small.env'), '#\n', 0o600);
    installation.save();
    expect(tree()).not.toEqual(before);

    new Installation(home, () => {}).remove();

    expect(tree()).toEqual(before);
  });

  test('does not take away a file that was there before', () => {
    const home = join(root, 'opt/small');
    const installation = new Installation(home, () => {});
    installation.write(join(UNITS, 'other.service'), 'of ours\n');
    installation.save();

    new Installation(home, () => {}).remove();

    expect(tree().map((line) => line.split(' ')[0])).toEqual(before.map((line) => line.split(' ')[0]));
  });
});
